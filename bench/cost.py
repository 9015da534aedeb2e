#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What it costs to have a policy act: the program's size and start, and of ACT at LeRobot's default size the time from a cold start to
the first action, and the peak of memory. Writes bench/results/CPU-cost.csv, which bench/speed.py puts on its page.

usage: cost.py [program=build/mynah] [cold=build/bench/bench_cold] [work=build/cost] [folder=bench/results] [runs=15]
"""
import csv
import os
import re
import statistics
import subprocess
import sys
import time

import results
import speed


def median_ms(command, runs):
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def peak_mb(command):
    """The child's largest resident set."""
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.execvp(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        sys.exit("cost: %s: failed" % " ".join(command))
    return usage.ru_maxrss / 1024


def told(command, runs, threads=1):
    """Medians of the milliseconds that the command tells, pinned to as many processors."""
    cpus = sorted(os.sched_getaffinity(0))[-threads:]
    times = [re.findall(r"([\d.]+) ms", subprocess.run(command, check=True, capture_output=True, text=True,
                                                       preexec_fn=lambda: os.sched_setaffinity(0, cpus)).stdout) for _ in range(runs)]
    return [statistics.median(float(t[i]) for t in times) for i in range(len(times[0]))]


def make_act(program, work):
    """A policy of the default size: an untrained one costs the same. One camera of 480x640."""
    policy = os.path.join(work, "act", "policy.safetensors")
    if not os.path.exists(policy):
        data = os.path.join(work, "d.demos")
        if not os.path.exists(data):
            results.mynah(program, "record", "sim=track", "source=expert", "out=" + data, "episodes=1", "seed=1", "max_frames=120")
        results.mynah(program, "train", "act", "data=" + data, "out=" + os.path.join(work, "act"), "chunk=100", "image.width=640", "image.height=480",
                      "batch=1", "steps=1", "valid.by=time")
    return policy


def main():
    settings, rest = results.settings(sys.argv[1:], {"program": "build/mynah", "cold": "build/bench/bench_cold", "work": "build/cost", "folder": "bench/results", "runs": 15})
    if rest:
        sys.exit(__doc__)
    program = os.path.abspath(settings["program"])
    os.makedirs(settings["work"], exist_ok=True)
    rows = [("size of the program", os.path.getsize(program) / 1e6, "MB"),
            ("`mynah eval --help`, start to end", median_ms([program, "eval", "--help"], settings["runs"]), "ms")]
    policy = make_act(program, settings["work"])
    weights = os.path.getsize(policy) / 1e6
    act = [settings["cold"], policy]
    rows += [("ACT at LeRobot's default size: the policy file", weights, "MB"),
             ("the same: the file read once, the least that loading can take", told(act + ["0"], settings["runs"])[0], "ms")]
    for threads in range(1, min(2, len(os.sched_getaffinity(0))) + 1):
        load, first, together = told(act + [str(threads)], settings["runs"], threads)
        name = "the same, %d thread%s: " % (threads, "s" * (threads > 1))
        rows += [(name + "loaded: read, compared with its checksums, packed", load, "ms"), (name + "the first action after that", first, "ms"),
                 (name + "cold start to first action", together, "ms"),
                 (name + "peak of resident memory over the weights", peak_mb(act + [str(threads)]) * 1.048576 / weights, "times")]
    path = os.path.join(settings["folder"], speed.cpu_name() + "-cost.csv")
    os.makedirs(settings["folder"], exist_ok=True)
    with open(path, "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["what", "value", "unit"])
        for what, value, unit in rows:
            writer.writerow([what, "%.3g" % value, unit])
            print("%-62s %8.3g %s" % (what, value, unit))


if __name__ == "__main__":
    main()
