# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the peer tests share: a check runs in the Python that has the peer, in a folder of its own, or is skipped with a word.

MYNAH_PROGRAM names the program under test; $MYNAH_PEERS_PYTHON the Python with the peers, else the one that runs the test."""
import json
import os
import struct
import subprocess
import sys
import tempfile

SKIPPED = 77  # as meson knows it


def mynah(folder, *commands):
    for command in commands:
        subprocess.run([os.environ["MYNAH_PROGRAM"], *command, "--quiet"], cwd=folder, check=True)


def description(path):
    """What a policy file says of itself: "golden" holds observations and the chunk predicted from them."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    return json.loads(header["__metadata__"]["mynah"])


def run(needed, name, check, test=None):
    """Where all of `needed` (modules) are there, the peers' Python runs the test's file once more, for check(folder, argument, ...).

    test(folder, again): prepares the folder and calls again(argument, ...), whose result is the status; without one it is
    called at once."""
    if len(sys.argv) > 1:
        os.chdir(sys.argv[1])
        sys.exit(check(*sys.argv[1:]))
    python = os.environ.get("MYNAH_PEERS_PYTHON", sys.executable)
    find = "from importlib.util import find_spec\nfor n in %r: assert find_spec(n)" % needed
    if subprocess.run([python, "-c", find], capture_output=True).returncode != 0:
        print("skipped: %s is not installed" % name)
        sys.exit(SKIPPED)
    os.environ["MYNAH_PROGRAM"] = os.path.abspath(os.environ["MYNAH_PROGRAM"])
    script = os.path.abspath(sys.argv[0])
    with tempfile.TemporaryDirectory() as folder:
        def again(*arguments):
            return subprocess.run([python, script, folder, *arguments]).returncode
        sys.exit(test(folder, again) if test else again())
