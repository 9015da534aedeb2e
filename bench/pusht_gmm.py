#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The main job: trains preset=pusht-gmm with several seeds and evaluates each on the same 200 starts.

usage: pusht_gmm.py MYNAH PUSHT.demos OUT_FOLDER [seeds=3] [episodes=200]
"""
import json
import math
import subprocess
import sys


def mynah(program, *args):
    return json.loads(subprocess.run([program, *args, "--json", "--quiet"], check=True, capture_output=True).stdout)


def main():
    program, data, out = sys.argv[1:4]
    n_seeds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    episodes = sys.argv[5] if len(sys.argv) > 5 else "200"
    means = []
    print("| seed | training, s | mean max reward (95 %) | success, coverage > 0.95 | success, reward >= 0.95 |")
    print("|---|---|---|---|---|")
    for seed in range(1, n_seeds + 1):
        run = "%s/seed%d" % (out, seed)
        trained = mynah(program, "train", "mlp", "preset=pusht-gmm", "data=" + data, "out=" + run, "seed=%d" % seed, "threads=2")
        r = mynah(program, "eval", trained["policy"], "sim=pusht", "episodes=" + episodes, "seed=100000")
        reward, coverage, high = r["mean_max_reward"], r["success_coverage"], r["success_reward"]
        means.append(reward["mean"])
        print("| %d | %.1f | %.3f [%.3f, %.3f] | %d/%d | %d/%d |" % (seed, trained["seconds"], reward["mean"], *reward["ci"],
              coverage["k"], coverage["n"], high["k"], high["n"]), flush=True)
    mean = sum(means) / len(means)
    spread = math.sqrt(sum((m - mean) ** 2 for m in means) / max(1, len(means) - 1))
    print("\nmean of %d training seeds x %s episodes from seed 100000: %.4f (standard deviation over seeds %.4f)"
          % (n_seeds, episodes, mean, spread))


main()
