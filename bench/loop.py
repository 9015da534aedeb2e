#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""How well a control rate is kept: `mynah run` with a policy in its worker, beside a loop as it is usually written in Python.

usage: loop.py MYNAH [rate=1000] [seconds=60] [rounds=1] [loops=plain,realtime,python] [work=build/loop] [tests=build/tests] [report=docs/results]

Both drive the same simulated pendulum policy: ours in C; in Python a synchronous loop that observes, multiplies the same layers with NumPy
(skipped when it cannot be imported) and sleeps for what is left of the period. One after the other, `rounds` times; what is in the work
folder is not measured again, so the loops can also be measured one a call. The tests' own long versions (MYNAH_SOAK_SECONDS: 100 loops
killed or stopped, 10^8 adversarial actions) are run for loops=watchdog,safety. The report is loop.md."""
import json
import os
import subprocess
import sys

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


def run_ours(program, o, *more):
    policy = os.path.join(o["work"], "run", "policy.safetensors")
    if not os.path.exists(policy):
        policy = make_policy(program, o["work"])
    return results.mynah(program, "run", policy, "robot=sim:pendulum", "rate=%d" % o["rate"], "seconds=%d" % o["seconds"], *more)


def run_python(o):
    done = subprocess.run([sys.executable, "-c", PYTHON_LOOP, str(o["rate"]), str(o["seconds"])], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {"skipped": done.stderr.strip().splitlines()[-1]}


def run_test(o, name, found):
    """The line that a test of ours prints in its long version, or what went wrong."""
    done = subprocess.run([os.path.join(o["tests"], name)], capture_output=True, text=True, env=dict(os.environ, MYNAH_SOAK_SECONDS="1"))
    lines = [line for line in (done.stdout + done.stderr).splitlines() if found in line]
    return {"text": lines[-1] if lines and done.returncode == 0 else "%s failed: %s" % (name, done.stderr[-400:])}


def measure(program, o, loop):
    if loop == "plain":
        return run_ours(program, o)
    if loop == "realtime":
        return run_ours(program, o, "priority=50")
    if loop == "python":
        return run_python(o)
    return run_test(o, "test_run_loop", "watchdog stopped") if loop == "watchdog" else run_test(o, "test_run_safety", "adversarial")


def report(o, done):
    rows, said = [], []
    order = ["plain", "realtime", "python", "watchdog", "safety"]
    for key in sorted(done, key=lambda k: (int(k.split(" ")[0]), order.index(k.split(" ")[1]))):
        loop, r = key.split(" ")[1], done[key]
        if "text" in r or "skipped" in r:
            said.append("- " + (r.get("text") or "skipped: the Python loop: " + r["skipped"]))
        elif loop == "realtime":
            rows.append(row("the same, %s" % ("; ".join(r["notes"]) or "real-time priority 50"), r))
        else:
            rows.append(row("mynah run, policy in the worker" if loop == "plain" else "Python, synchronous", r))
    os.makedirs(o["report"], exist_ok=True)
    with open(os.path.join(o["report"], "loop.md"), "w") as f:
        f.write("\n".join(["# A control rate, kept", "", "Written by `bench/loop.py`: a simulated pendulum at %d Hz for %d s, one after the other on the same machine." % (o["rate"], o["seconds"]),
                           "A miss is a deadline passed by a whole period or more; allocations and page faults are the control thread's, the latter after the first tenth.", "",
                           "| loop | steps | period p50, ms | p99 | p99.9 | max | misses | allocations | page faults |", "|---|---|---|---|---|---|---|---|---|", *rows, ""] +
                          (["From the long versions of the tests:", "", *said, ""] if said else [])))


def main():
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    o, rest = results.settings(sys.argv[1:], {"rate": 1000, "seconds": 60, "rounds": 1, "loops": "plain,realtime,python", "work": os.path.join(here, "build", "loop"),
                                              "tests": os.path.join(here, "build", "tests"), "report": os.path.join(here, "docs", "results")})
    if len(rest) != 1:
        sys.exit(__doc__)
    os.makedirs(o["work"], exist_ok=True)
    path = os.path.join(o["work"], "loop-%d-%d.json" % (o["rate"], o["seconds"]))
    done = results.load(path) or {}
    for n in range(o["rounds"]):
        for loop in o["loops"].split(","):
            key = "%d %s" % (n, loop)
            if key not in done:
                found = measure(rest[0], o, loop)
                done = dict(results.load(path) or {}, **{key: found})  # another call may have measured another loop meanwhile
                results.save(path, done)
            print(key, json.dumps(done[key])[:300], flush=True)
    report(o, done)


main()
