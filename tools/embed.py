#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Turns text files into a C header: an array of {name, text} that the program carries.

usage: embed.py ARRAY OUT.h FILE...      (the name is the file's name without its folder and .json)
"""
import pathlib
import sys


def numbers(text):
    """The bytes as numbers, 32 a line: string literals have a length limit in ISO C."""
    data = [str(b) if b < 128 else "'\\x%02x'" % b for b in text.encode("utf-8")] + ["0"]
    return ",\n".join(",".join(data[i:i + 32]) for i in range(0, len(data), 32))


def main():
    array, out, files = sys.argv[1], pathlib.Path(sys.argv[2]), [pathlib.Path(f) for f in sys.argv[3:]]
    bodies, rows = [], []
    for i, f in enumerate(sorted(files, key=lambda f: f.name)):
        text = "".join(line for line in f.read_text(encoding="utf-8").splitlines(keepends=True)
                       if not line.startswith("//# sourceMappingURL"))
        name = f.name[:-5] if f.name.endswith(".json") else f.name
        bodies.append("static const char %s_%d[] = {\n%s};\n" % (array, i, numbers(text)))
        rows.append('  {"%s", %s_%d},\n' % (name, array, i))
    out.write_text("/* Made at build time. */\n%sstatic const struct {\n  const char *name, *text;\n} %s[] = {\n%s};\n"
                   % ("".join(bodies), array, "".join(rows)), encoding="utf-8")


main()
