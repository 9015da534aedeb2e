#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Human driving: trains preset=drive on the first 80 % of a recording and compares its steering with the human's on the rest.

usage: drive.py MYNAH DRIVE.demos OUT_FOLDER [seeds=3] [key=value of mynah train …]
"""
import os
import sys

from results import load, mean, mynah, save, settings


def main():
    program, data, out = sys.argv[1:4]
    own, extra = settings(sys.argv[4:], {"seeds": 3})
    os.makedirs(out, exist_ok=True)
    rows = []
    print("| seed | training, s | correlation of steering | MSE | MSE of the constant | times better |\n|---|---|---|---|---|---|")
    for seed in range(1, own["seeds"] + 1):
        path = "%s/seed%d.json" % (out, seed)
        cell = load(path)
        if cell is None:
            run = "%s/seed%d" % (out, seed)
            trained = mynah(program, "train", "mlp", "preset=drive", "data=" + data, "out=" + run, "seed=%d" % seed, *extra)
            cell = {"trained": trained, "judged": mynah(program, "eval", trained["policy"], "data=" + data)}
            save(path, cell)
        judged = cell["judged"]["steering"]
        rows.append(judged)
        print("| %d | %.0f | %.3f | %.4f | %.4f | %.2f |" % (seed, cell["trained"]["seconds"], judged["correlation"], judged["mse"],
              judged["constant_mse"], judged["times_better"]), flush=True)
    print("\nmean of %d seeds: correlation %.3f, %.2f times better than the constant" % (
          len(rows), mean([r["correlation"] for r in rows]), mean([r["times_better"] for r in rows])))


main()
