#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Turns text files into a C header: an array of {name, text} that the program carries.

usage: embed.py ARRAY OUT.h FILE...      (the name is the file's name without its folder and .json)
"""
import pathlib
import sys


def literal(text):
    """C string literals, a line each (ISO C allows 4095 characters a literal at least; pieces are joined)."""
    rows = []
    for line in text.splitlines(keepends=True) or [""]:
        for start in range(0, len(line), 2000) or [0]:
            piece = line[start:start + 2000]
            quoted = piece.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
            rows.append('"' + quoted.replace("\r", "\\r").replace("??", "?\\?") + '"')
    return "\n    ".join(rows)


def main():
    array, out, files = sys.argv[1], pathlib.Path(sys.argv[2]), [pathlib.Path(f) for f in sys.argv[3:]]
    rows = []
    for f in sorted(files):
        name = f.name[:-5] if f.name.endswith(".json") else f.name
        rows.append('  {"%s",\n    %s}' % (name, literal(f.read_text(encoding="utf-8"))))
    out.write_text("/* Made at build time; not kept. */\nstatic const struct {\n  const char *name, *text;\n} %s[] = {\n%s};\n"
                   % (array, ",\n".join(rows)), encoding="utf-8")


main()
