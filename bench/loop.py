#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""How well a control rate is kept: `mynah run` with a policy in its worker, beside a loop as it is usually written in Python.

usage: loop.py MYNAH [rate=1000] [seconds=60] [rounds=1] [report=docs/results]

Both drive the same simulated pendulum policy: ours in C; in Python a synchronous loop that observes, multiplies the same layers with NumPy
(skipped when it cannot be imported) and sleeps for what is left of the period. One after the other, `rounds` times; the report is loop.md."""
import json
import os
import subprocess
import sys
import tempfile

import results

PYTHON_LOOP = """
import json, math, sys, time
import numpy as np
rate, seconds = float(sys.argv[1]), float(sys.argv[2])
rng = np.random.default_rng(0)
layers = [rng.standard_normal(s).astype(np.float32) / 16 for s in ((3, 256), (256, 256), (256, 1))]
angle, spin, period, times, misses = 0.1, 0.0, 1 / rate, [], 0
deadline = time.perf_counter() + period
before = time.perf_counter()
for _ in range(int(rate * seconds)):
    x = np.array([math.cos(angle), math.sin(angle), spin], np.float32)
    for w in layers[:-1]:
        x = np.maximum(x @ w, 0)
    spin += float((x @ layers[-1])[0]) * period
    angle += spin * period
    left = deadline - time.perf_counter()
    if left > 0:
        time.sleep(left)
    now = time.perf_counter()
    if now - deadline >= period:
        misses += 1
        deadline = now
    deadline += period
    times.append((now - before) * 1e3)
    before = now
times.sort()
at = lambda share: times[int(share * (len(times) - 1))]
print(json.dumps({"period_ms": {"p50": at(.5), "p99": at(.99), "p99.9": at(.999), "max": times[-1]}, "misses": misses, "steps": len(times)}))
"""


def make_policy(program, folder):
    data, run = os.path.join(folder, "p.demos"), os.path.join(folder, "run")
    results.mynah(program, "record", "sim=pendulum", "episodes=10", "out=" + data)
    results.mynah(program, "train", "mlp", "data=" + data, "widths=256,256", "chunk=8", "execute.steps=4", "steps=300", "out=" + run)
    return os.path.join(run, "policy.safetensors")


def row(name, r):
    p = r["period_ms"]
    return "| %s | %d | %.4f | %.4f | %.4f | %.3f | %d | %s | %s |" % (
        name, r["steps"], p["p50"], p["p99"], p["p99.9"], p["max"], r["misses"], r.get("allocations", ""), r.get("page_faults", ""))


def main():
    o, rest = results.settings(sys.argv[1:], {"rate": 1000, "seconds": 60, "rounds": 1, "report": os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "..", "docs", "results")})
    if len(rest) != 1:
        sys.exit(__doc__)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        policy = make_policy(rest[0], folder)
        for _ in range(o["rounds"]):
            ours = results.mynah(rest[0], "run", policy, "robot=sim:pendulum", "rate=%d" % o["rate"], "seconds=%d" % o["seconds"])
            rows.append(row("mynah run, policy in the worker", ours))
            print(rows[-1], flush=True)
            ours = results.mynah(rest[0], "run", policy, "robot=sim:pendulum", "rate=%d" % o["rate"], "seconds=%d" % o["seconds"], "priority=50")
            rows.append(row("the same, %s" % ("; ".join(ours["notes"]) or "real-time priority 50"), ours))
            print(rows[-1], flush=True)
            done = subprocess.run([sys.executable, "-c", PYTHON_LOOP, str(o["rate"]), str(o["seconds"])], capture_output=True, text=True)
            if done.returncode == 0:
                rows.append(row("Python, synchronous", json.loads(done.stdout)))
                print(rows[-1], flush=True)
            else:
                print("skipped: the Python loop: " + done.stderr.strip().splitlines()[-1])
    os.makedirs(o["report"], exist_ok=True)
    with open(os.path.join(o["report"], "loop.md"), "w") as f:
        f.write("\n".join(["# A control rate, kept", "", "Written by `bench/loop.py`: a simulated pendulum at %d Hz for %d s, one after the other on the same machine." % (o["rate"], o["seconds"]),
                           "A miss is a deadline passed by a whole period or more.", "",
                           "| loop | steps | period p50, ms | p99 | p99.9 | max | misses | allocations | page faults |", "|---|---|---|---|---|---|---|---|---|", *rows, ""]))


main()
