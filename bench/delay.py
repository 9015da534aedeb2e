#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reward against the steps that a prediction takes, for each way of executing chunks.

usage: delay.py MYNAH POLICY.safetensors OUT_FOLDER [delays=0,1,...,8] [modes=receding,ensemble,blend,rtc] [episodes=50]
                [seed=100000] [steps=0] [threads=2]

Writes OUT_FOLDER/delay.md and delay.svg; what OUT_FOLDER/delay.json has for this policy is not measured again.
steps: execute.steps (0: the policy's own); mode=ensemble predicts as often as the delay lets it. A delay that a chunk is
too short for is left out."""
import hashlib
import os
import sys

import results


def measure(program, policy, mode, delay, o):
    """One evaluation, or what the program said against it."""
    steps = 1 if mode == "ensemble" else o["steps"]
    keys = ["execute.mode=" + mode, "execute.delay_steps=%d" % delay] + (["execute.steps=%d" % steps] if steps else [])
    try:
        return results.mynah(program, "eval", policy, "sim=pusht", "episodes=%d" % o["episodes"], "seed=%d" % o["seed"],
                             "threads=%d" % o["threads"], *keys)
    except results.Refused as refusal:
        if "execute." not in str(refusal):
            raise
        return {"refused": str(refusal)}


def draw(path, table, modes, delays):
    high = max(1, max(delays))
    plots = [results.Plot(50, 40, 300, 220, (0, high), (0, 1)), results.Plot(420, 40, 300, 220, (0, high), (0, 1))]
    jumps = [r["seam_jump"] for r in table.values() if r.get("seam_jump") is not None]
    top = max(jumps + [1e-6])
    plots[1].y_range = (0, 1.1 * top)
    for p in plots:
        p.x_ticks(range(high + 1), "execute.delay_steps")
    plots[0].y_ticks([0, 0.2, 0.4, 0.6, 0.8, 1], "mean max reward")
    plots[1].y_ticks([0, 0.5 * top, top], "jump at seams, share of the range", "%.3f")
    for i, mode in enumerate(modes):
        for plot, value in ((plots[0], lambda r: r["mean_max_reward"]["mean"]), (plots[1], lambda r: r["seam_jump"])):
            points = [(d, value(table[mode, d])) for d in delays if "refused" not in table[mode, d]]
            if points:
                plot.line(points, results.COLOURS[i])
            for x, y in points:
                plot.dot(x, y, results.COLOURS[i])
        plots[0].text(60 + 75 * i, 280 + 30, mode, "start", results.COLOURS[i])
    results.write_svg(path, 750, 320, plots)


def write_report(folder, table, modes, delays, o):
    draw(os.path.join(folder, "delay.svg"), table, modes, delays)
    text = ["# Chunks that arrive late", "", "![reward and seams against delay](delay.svg)", "",
            "Written by `bench/delay.py`: Push-T, %d episodes from seed %d each. A prediction takes the steps on the left; until it arrives,"
            % (o["episodes"], o["seed"]),
            "what was planned before is executed. Mean max reward with its 95 % interval / jump at seams (share of the action's range).", "",
            "| delay, steps | " + " | ".join(modes) + " |", "|---" * (len(modes) + 1) + "|"]
    for d in delays:
        row = ["%d" % d]
        for mode in modes:
            r = table[mode, d]
            row.append("chunk too short" if "refused" in r else "%.3f [%.3f, %.3f] / %.4f" % (
                r["mean_max_reward"]["mean"], *r["mean_max_reward"]["ci"], r["seam_jump"] or 0))
        text.append("| " + " | ".join(row) + " |")
    with open(os.path.join(folder, "delay.md"), "w") as f:
        f.write("\n".join(text) + "\n")


def main():
    o, rest = results.settings(sys.argv[1:], {"delays": ",".join(map(str, range(9))), "modes": "receding,ensemble,blend,rtc",
                                              "episodes": 50, "seed": 100000, "steps": 0, "threads": 2})
    if len(rest) != 3:
        sys.exit(__doc__)
    program, policy, out = rest
    os.makedirs(out, exist_ok=True)
    with open(policy, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    path = os.path.join(out, "delay.json")
    done, table = results.load(path) or {}, {}
    modes, delays = o["modes"].split(","), [int(d) for d in o["delays"].split(",")]
    for mode in modes:
        for d in delays:
            key = "%s %s %d %d %d %d" % (digest[:16], mode, d, o["episodes"], o["seed"], o["steps"])
            if key not in done:
                done[key] = measure(program, policy, mode, d, o)
                results.save(path, done)
            table[mode, d] = done[key]
            r = table[mode, d]
            print("%-9s delay %d: %s" % (mode, d, r.get("refused") or "%.3f" % r["mean_max_reward"]["mean"]), flush=True)
    write_report(out, table, modes, delays, o)


main()
