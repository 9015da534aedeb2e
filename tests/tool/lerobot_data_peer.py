#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""An exported dataset, read by LeRobotDataset itself, holds the numbers that went out: skipped where LeRobot is not installed.

Run with MYNAH_PROGRAM set; the Python that runs it, or $MYNAH_PEERS_PYTHON, may have LeRobot 0.4."""
import os

import peer


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


def test(folder, again):
    peer.mynah(folder, ["record", "sim=follow", "state=truth", "out=d.demos", "episodes=2", "seed=1", "limit=3"],
               ["export", "lerobot", "d.demos", "out=lerobot"], ["export", "npz", "d.demos", "out=d.npz"])
    return again()


peer.run(["lerobot.datasets.lerobot_dataset"], "LeRobot", compare, test)
