#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Checks the public headers: each compiles alone as C11 and C++17 without a warning, the version is one, and the shared
library exports exactly what they declare.

usage: check_headers.py LIBMYNAH.so
"""
import pathlib
import re
import shutil
import subprocess
import sys

FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Iinclude", "-fsyntax-only"]


def compiles(compiler, language, standard, header):
    command = [compiler, "-x", language, "-std=" + standard] + FLAGS + ["-"]
    text = "#include <mynah/%s>\nint nothing;\n" % header.name
    result = subprocess.run(command, input=text, text=True, capture_output=True)
    if result.returncode:
        print("%s as %s: %s" % (header, standard, result.stderr.strip()))
    return result.returncode == 0


def declared(headers):
    names = set()
    for header in headers:
        text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.S)
        text = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
        for statement in re.findall(r"\bMYNAH_API\b([^;{]*)", text):
            name = re.search(r"\b(mynah_\w+)\s*\(", statement) or re.search(r"\b(mynah_\w+)\s*(?:\[[^]]*\])?\s*$", statement)
            if name:
                names.add(name.group(1))
    return names


def exported(library):
    rows = subprocess.run(["nm", "-D", "--defined-only", library], text=True, capture_output=True, check=True).stdout
    return {row.split()[-1].split("@")[0] for row in rows.splitlines()}


def main():
    headers = sorted(pathlib.Path("include/mynah").glob("*.h"))
    is_good = bool(headers)
    for header in headers:
        is_good &= compiles("cc", "c", "c11", header)
        if shutil.which("c++"):
            is_good &= compiles("c++", "c++", "c++17", header)
    version = re.search(r'MYNAH_VERSION "([^"]+)"', pathlib.Path("include/mynah/base.h").read_text(encoding="utf-8")).group(1)
    if "version: '%s'" % version not in pathlib.Path("meson.build").read_text(encoding="utf-8"):
        print("meson.build: another version than include/mynah/base.h (%s)" % version)
        is_good = False
    ours, theirs = declared(headers), exported(sys.argv[1])
    for name in sorted(ours - theirs):
        print("%s: declared, but not in the library" % name)
    for name in sorted(theirs - ours):
        print("%s: exported, but not declared in a public header" % name)
    print("headers: %d, %d functions, version %s" % (len(headers), len(ours), version))
    sys.exit(0 if is_good and ours == theirs else 1)


main()
