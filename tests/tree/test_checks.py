#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The scripts that check the tree must find what they look for: each is given a small tree with one fault."""
import json
import pathlib
import subprocess
import sys
import tempfile

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
HEAD = "/* SPDX-License-Identifier: MIT OR Apache-2.0 */\n/* A file. */\n"
GOOD = HEAD + '#include <mynah/base.h>\n/* printf( in a comment */\nconst char *f(void);\nconst char *f(void) { return "abort()"; }\n'

LAYER_FAULTS = {  # file, its text after the head, what must be said
    "a later layer": ("src/feed/a.c", "#include <mynah/policy.h>\n"),
    "must not know learn": ("src/run/a.c", "#include <mynah/learn.h>\n"),
    "only src/base may": ("src/graph/a.c", "#include <png.h>\n"),
    "only src/graph/dnnl may": ("src/graph/fast/a.c", "#include <oneapi/dnnl/dnnl.h>\n"),
    "from its own folder": ("src/run/a.c", '#include "../base/b.h"\n'),
    "neither standard nor": ("src/base/a.c", "#include <leftpad.h>\n"),
    "only src/tool may": ("src/base/a.c", "void g(void) { exit(1); }\n"),
    "comes from mynah_alloc": ("src/base/a.c", "void *g(void) { return malloc(1); }\n"),
    "is no layer": ("src/misc/a.c", ""),
}
SIZE_FAULTS = {
    "no SPDX": ("src/base/a.c", None),
    "at most 100": ("src/base/a.c", "void g(void) {\n" + "  f();\n" * 101 + "}\n"),
    "at most 800": ("src/base/a.c", "\n" * 800),
    "a tab": ("src/base/a.c", "\tint x;\n"),
}


def tree(folder, extra=None):
    root = pathlib.Path(folder)
    files = {"src/base/good.c": GOOD, "src/base/b.h": HEAD, "meson.build": "# SPDX-License-Identifier: MIT OR Apache-2.0\n# x\n",
             "Makefile": "# SPDX-License-Identifier: MIT OR Apache-2.0\n# x\n"}
    files.update(extra or {})
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def run(script, folder, *args):
    result = subprocess.run([sys.executable, str(TOOLS / script), *args], cwd=folder, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def expect(script, extra, status, words):
    with tempfile.TemporaryDirectory() as folder:
        tree(folder, extra)
        got, text = run(script, folder)
        assert got == status and words in text, "%s: status %d, said: %s" % (script, got, text)


def test_faults(script, faults):
    expect(script, {}, 0, "0 problems")
    for words, (name, text) in faults.items():
        expect(script, {name: "int x;\n" if text is None else HEAD + text}, 1, words)


def test_count():
    rows = [{"name": "a", "result": "OK", "stdout": "[  PASSED  ] 3 test(s).\n[  SKIPPED ] 1 test(s), listed below:\n"},
            {"name": "b", "result": "OK", "stdout": ""},
            {"name": "c", "result": "FAIL", "stderr": "[  PASSED  ] 2 test(s).\n[  FAILED  ] 2 test(s), listed below:\n"},
            {"name": "d", "result": "TIMEOUT"}, {"name": "e", "result": "SKIP"}]
    for n, (status, last) in {5: (1, "6 passed, 3 failed, 2 skipped"), 2: (0, "4 passed, 0 failed, 1 skipped"),
                              0: (1, "0 passed, 0 failed, 0 skipped")}.items():
        with tempfile.TemporaryDirectory() as folder:
            logs = pathlib.Path(folder, "b", "meson-logs")
            logs.mkdir(parents=True)
            (logs / "testlog.json").write_text("".join(json.dumps(row) + "\n" for row in rows[:n]), encoding="utf-8")
            got, text = run("count_results.py", folder, "b")
            assert got == status and text.splitlines()[-1] == last, text
            got, text = run("count_results.py", folder, "b", "never_built")
            assert got == 1, text


test_faults("check_layers.py", LAYER_FAULTS)
test_faults("check_size.py", SIZE_FAULTS)
test_count()
print("the checks find %d kinds of faults" % (len(LAYER_FAULTS) + len(SIZE_FAULTS)))
