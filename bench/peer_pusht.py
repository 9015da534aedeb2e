#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Steps a second of gym-pusht, as bench/sim.c measures ours: random targets, a new episode every 100 steps.

usage: peer_pusht.py [seconds]      (needs gym-pusht)
"""
import sys
import time

import gymnasium
import gym_pusht  # noqa: F401  (registers the environment)
import numpy as np


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3
    env = gymnasium.make("gym_pusht/PushT-v0", obs_type="state", max_episode_steps=1000000).unwrapped
    rng = np.random.default_rng(1)
    n, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        env.reset(seed=n)
        for _ in range(100):
            env.step(rng.uniform(0, 512, 2))
            n += 1
    print("gym-pusht %.0f steps/s (coverage included)" % (n / (time.perf_counter() - start)))


main()
