#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""An exported dataset, read by LeRobotDataset itself, holds the numbers that went out: skipped where LeRobot is not installed.

Run with MYNAH_PROGRAM set; the Python that runs it, or $MYNAH_PEERS_PYTHON, may have LeRobot 0.4."""
import os
import subprocess
import sys
import tempfile

SKIPPED = 77


def compare(folder):
    import numpy as np
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    ours = np.load(os.path.join(folder, "d.npz"))
    theirs = LeRobotDataset("mynah/test", root=os.path.join(folder, "lerobot"))
    ends = ours["episode_ends"]
    assert theirs.num_frames == ends[-1] and theirs.num_episodes == len(ends), (theirs.num_frames, theirs.num_episodes)
    for i in range(theirs.num_frames):
        frame = theirs[i]
        assert int(frame["episode_index"]) == int(np.searchsorted(ends, i, side="right")), i
        for name in ("observation.state", "action"):
            assert np.array_equal(frame[name].numpy(), ours[name][i]), (i, name)
    print("%d frames of %d episodes are read back as they were written" % (theirs.num_frames, theirs.num_episodes))


def main():
    if len(sys.argv) == 2:
        return compare(sys.argv[1])
    python = os.environ.get("MYNAH_PEERS_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import lerobot.datasets.lerobot_dataset"], capture_output=True).returncode != 0:
        print("skipped: LeRobot is not installed")
        sys.exit(SKIPPED)
    program = os.environ["MYNAH_PROGRAM"]
    with tempfile.TemporaryDirectory() as folder:
        for command in (["record", "sim=follow", "state=truth", "out=d.demos", "episodes=2", "seed=1", "limit=3"],
                        ["export", "lerobot", "d.demos", "out=lerobot"], ["export", "npz", "d.demos", "out=d.npz"]):
            subprocess.run([program, *command, "--quiet"], cwd=folder, check=True)
        sys.exit(subprocess.run([python, os.path.abspath(__file__), folder]).returncode)


main()
