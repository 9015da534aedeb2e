#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Counts what `meson test` found in the given build folders; the last line is "N passed, N failed, N skipped".

A cmocka program counts as its cases, any other test as one. Status 1 if one failed, none ran, or a folder has no results.
"""
import json
import pathlib
import re
import sys


def count(test):
    """(passed, failed, skipped) of one program."""
    if test["result"] in ("SKIP",):
        return 0, 0, 1
    text = test.get("stdout", "") + "\n" + test.get("stderr", "")
    numbers = []
    for word in ("PASSED", "FAILED", "SKIPPED"):
        numbers.append(sum(int(n) for n in re.findall(r"^\[ +%s +\] (\d+) test\(s\)" % word, text, re.M)))
    passed, failed, skipped = numbers
    if test["result"] in ("OK", "EXPECTEDFAIL"):
        return (passed, failed, skipped) if passed + failed + skipped else (1, 0, 0)
    return passed, max(failed, 1), skipped


def main():
    totals = [0, 0, 0]
    for folder in sys.argv[1:]:
        log = pathlib.Path(folder) / "meson-logs" / "testlog.json"
        if not log.exists():
            print("%s: no test results: it was not built or not run" % folder)
            totals[1] += 1
            continue
        here = [0, 0, 0]
        for line in log.read_text(encoding="utf-8").splitlines():
            test = json.loads(line)
            numbers = count(test)
            here = [a + b for a, b in zip(here, numbers)]
            if numbers[1]:
                print("%s: failed: %s" % (folder, test["name"]))
        print("%s: %d passed, %d failed, %d skipped" % (folder, *here))
        totals = [a + b for a, b in zip(totals, here)]
    print("%d passed, %d failed, %d skipped" % tuple(totals))
    sys.exit(1 if totals[1] or totals[0] == 0 else 0)


main()
