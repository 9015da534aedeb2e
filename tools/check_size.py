#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Checks sizes (docs/style.md): functions, files, parameters, all of src/; and that each file says its licence and purpose."""
import pathlib
import re
import sys

MAX_FUNCTION, HABIT_FUNCTION, MAX_FILE, MAX_SRC = 100, 60, 800, 60000
MAX_COLUMN, MAX_ROW = 160, 240  # a row of a configuration table, K(...), is one line
FOLDERS = ["include", "src", "tests", "bench", "examples", "tools", "packaging"]


def functions(lines):
    """(first line number, name, length) of each function: text from column 0 to a '{' that ends a line, to a '}' alone."""
    start = None
    for i, line in enumerate(lines):
        if start is None and line.endswith("{") and (line[:1].isalpha() or line[:1] in " _") and ")" in line:
            first = i
            while first > 0 and lines[first][:1] == " ":
                first -= 1
            head = " ".join(lines[first:i + 1])
            name = re.match(r"[A-Za-z_][^=;{}]*?(\w+)\s*\(", head)
            if name and not head.startswith(("typedef", "struct", "enum", "union", "#")):
                start = (first, name.group(1))
        elif start is not None and line.startswith("}"):
            yield start[0] + 1, start[1], i - start[0] + 1
            start = None


def check_head(path, lines, problems):
    body = lines[1:] if lines and lines[0].startswith("#!") else lines
    if not body or "SPDX-License-Identifier: MIT OR Apache-2.0" not in body[0]:
        problems.append("%s:1: no SPDX line first" % path)
    elif path.name != "meson.build" and (len(body) < 2 or not re.match(r'(/\*|#|"""|//) ?\S', body[1])):
        problems.append("%s:2: no sentence of purpose" % path)


def main():
    problems, habit, n_src, n_files, longest = [], 0, 0, 0, (0, "")
    paths = [p for folder in FOLDERS for p in sorted(pathlib.Path(folder).rglob("*")) if p.suffix in (".c", ".h", ".py", ".sh")
             or p.name == "meson.build"]
    for path in paths + [pathlib.Path("meson.build"), pathlib.Path("Makefile")]:
        lines = path.read_text(encoding="utf-8").splitlines()
        n_files += 1
        check_head(path, lines, problems)
        if path.suffix not in (".c", ".h"):
            continue
        if path.parts[0] == "src":
            n_src += len(lines)
        if len(lines) > MAX_FILE:
            problems.append("%s: %d lines, at most %d" % (path, len(lines), MAX_FILE))
        for number, line in enumerate(lines, 1):
            if len(line) > (MAX_ROW if line.startswith("  K(") else MAX_COLUMN) or "\t" in line or line != line.rstrip():
                problems.append("%s:%d: too long, a tab, or blanks at the end" % (path, number))
        for number, name, length in functions(lines):
            habit += length > HABIT_FUNCTION
            longest = max(longest, (length, "%s:%d %s" % (path, number, name)))
            if length > MAX_FUNCTION:
                problems.append("%s:%d: %s has %d lines, at most %d" % (path, number, name, length, MAX_FUNCTION))
    if n_src > MAX_SRC:
        problems.append("src: %d lines, at most %d" % (n_src, MAX_SRC))
    for problem in problems:
        print(problem)
    print("sizes: %d files, src %d of %d lines, %d functions over %d lines, longest %d (%s); %d problems"
          % (n_files, n_src, MAX_SRC, habit, HABIT_FUNCTION, longest[0], longest[1], len(problems)))
    sys.exit(1 if problems or not n_files else 0)


main()
