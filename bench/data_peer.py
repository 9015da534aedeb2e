# SPDX-License-Identifier: MIT OR Apache-2.0
"""LeRobot's side of data.py, run by a Python that has LeRobot: `record ROOT video|image`, or `read ROOT SECONDS`. Prints JSON."""
import json
import random
import sys
import time

import numpy as np
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset

SIDE, FPS, EPISODES, FRAMES = 96, 10, 3, 200
torch.set_num_threads(1)


def picture(k):
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    base = np.stack([(x * (k % 5 + 1) + y * (c + 1)) // 3 % 200 for c in range(3)], -1)
    return (base + np.random.default_rng(k).integers(0, 8, base.shape)).astype(np.uint8)


def record(root, kind):
    features = {"observation.state": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
                "observation.images.top": {"dtype": kind, "shape": (SIDE, SIDE, 3), "names": ["height", "width", "channels"]},
                "action": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]}}
    pictures = [picture(k) for k in range(64)]
    data = LeRobotDataset.create("bench/data", FPS, features, root=root, use_videos=kind == "video")
    start = time.perf_counter()
    for _ in range(EPISODES):
        for t in range(FRAMES):
            x = np.array([t, t % 7], np.float32)
            data.add_frame({"observation.state": x, "observation.images.top": pictures[t % 64], "action": x, "task": "bench"})
        data.save_episode()
    data.finalize()
    seconds = time.perf_counter() - start
    return {"frames": EPISODES * FRAMES, "seconds": seconds, "frames_per_s": EPISODES * FRAMES / seconds}


def read(root, seconds):
    windows = {"observation.images.top": [-1 / FPS, 0], "observation.state": [-1 / FPS, 0], "action": [i / FPS for i in range(16)]}
    start = time.perf_counter()
    data = LeRobotDataset("bench/data", root=root, delta_timestamps=windows, video_backend="pyav")
    random.seed(1)
    item = data[random.randrange(len(data))]
    first = time.perf_counter()
    assert item["observation.images.top"].shape[0] == 2 and item["action"].shape[0] == 16
    n = 0
    while time.perf_counter() - first < seconds:
        data[random.randrange(len(data))]
        n += 1
    return {"first_window_ms": 1e3 * (first - start), "windows": n, "windows_per_s": n / (time.perf_counter() - first)}


print(json.dumps(record(*sys.argv[2:4]) if sys.argv[1] == "record" else read(sys.argv[2], float(sys.argv[3]))))
