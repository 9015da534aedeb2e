#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a clone sees, in sim=follow: boxes as a state, pixels, or the truth; from 10, 30 and 100 demonstrations.

usage: perceive.py MYNAH OUT_FOLDER [detector=FILE] [width=320] [seeds=5] [counts=10,30,100] [episodes=20] [steps=1500] [pixel_steps=800]
                   [report=docs/results/perceive.md]

A cell is one way of seeing with one number of demonstrations and one seed; cells that are done are not done again, so a
script that was stopped goes on. The report is written anew after each seed of each number, from all cells there are. detector: the boxes
are this detector's, in demonstrations and tests, on pictures so wide, instead of the simulator's exact ones; at the end the control loop
runs at LOOP_RATE with detector and policy behind it. One thread. A detector is made by
  mynah record sim=follow target=any labels=true state=none width=320 limit=6 every=40 episodes=1000 seed=1 out=D.demos
  mynah train detector preset=detector-follow data=D.demos out=DIR seed=1
and measured by `mynah eval DIR/policy.safetensors data=` on another such recording, episodes=200 seed=100000."""
import os
import sys

from results import deviation, load, mean, mynah, save, settings

DEMONSTRATIONS = ["limit=10", "noise=0.2"]  # s; the expert's clean actions are the labels
TEST = ["limit=20", "seed=100000"]
VECTORS = ["inputs=observation.state,observation.environment_state", "normalize=meanstd", "batch=128"]
PICTURES = ["inputs=observation.images.front,observation.state", "image.width=80", "image.height=60", "cnn.filters=16,32,32,32",
            "cnn.kernels=5,5,3,3", "cnn.strides=2,2,1,1", "cnn.points=16", "batch=64", "augment.mirror=0.5", "augment.brightness=0.2"]
COMMON = ["lr=0.001", "schedule=cosine", "warmup=100", "ema=warmup", "valid.by=random", "valid.share=0.1", "decay=0.0001"]
# name, state shown, settings of the training
WAYS = [
    ("boxes, linear", "boxes", VECTORS + ["widths="]),
    ("boxes, MLP", "boxes", VECTORS + ["widths=128,128"]),
    ("pixels, CNN", "truth", PICTURES + ["widths=64"]),
    ("truth, MLP", "truth", VECTORS + ["widths=128,128"]),
]
LOOP_RATE = 30  # Hz
LOOP_SECONDS = 30
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def shown(state, o):
    return ["state=" + state] if state == "truth" or not o["detector"] else ["state=detector", "detector=" + o["detector"], "width=%d" % o["width"]]


def demonstrations(program, out, state, count, seed, o):
    path = "%s/%s-%d-%d.demos" % (out, state, count, seed)
    done = path + ".json"
    if load(done) is None:
        if os.path.exists(path):
            os.remove(path)
        save(done, mynah(program, "record", "sim=follow", "out=" + path, "episodes=%d" % count, "seed=%d" % (1000003 * seed),
                         *DEMONSTRATIONS, *shown(state, o)))
    return path


def run_cell(program, out, way, count, seed, o):
    name, state, extra = way
    run = "%s/%s-%d-%d" % (out, name.replace(", ", "-"), count, seed)
    cell = load(run + ".json")
    if cell is not None:
        return
    data = demonstrations(program, out, state, count, seed, o)
    steps = o["pixel_steps"] if state == "truth" and extra[0] == PICTURES[0] else o["steps"]
    if not os.path.exists(run + "/policy.safetensors"):
        resume = ["resume=" + run] if os.path.exists(run + "/config.json") else [
            "mlp", "data=" + data, "out=" + run, "seed=%d" % seed, "steps=%d" % steps, *COMMON, *extra]
        mynah(program, "train", *resume, "threads=1")
    save(run + ".json", mynah(program, "eval", run + "/policy.safetensors", "sim=follow", "episodes=%d" % o["episodes"], "threads=1",
                              *TEST, *shown(state, o)))


def run_loop(program, out, count, o):
    """The policy on boxes in the control loop: pictures to detector to slots to action, in the worker beside it."""
    path = out + "/loop.json"
    if load(path) is None:
        save(path, mynah(program, "run", "%s/boxes-MLP-%d-1/policy.safetensors" % (out, count), "robot=sim:follow", "state=none",
                         "width=%d" % o["width"], "detector=" + o["detector"], "rate=%d" % LOOP_RATE, "seconds=%d" % LOOP_SECONDS))


def loop_lines(out):
    loop = load(out + "/loop.json")
    if not loop:
        return []
    infer, period = loop["infer_ms"], loop["period_ms"]
    return ["## In the control loop", "",
            "`mynah run` at %d Hz for %d s, the detector looking at each picture: %d steps, %d deadlines missed; period p50 %.2f, p99 %.2f, most %.2f ms;"
            % (LOOP_RATE, LOOP_SECONDS, loop["steps"], loop["misses"], period["p50"], period["p99"], period["max"]),
            "from picture to action p50 %.1f, p99 %.1f, most %.1f ms; %d steps went on with a held action; %d allocations in the control thread."
            % (infer["p50"], infer["p99"], infer["max"], loop["held_steps"], loop["allocations"]), ""]


def interval(values):
    """Mean and the 95 % interval of Student's t over seeds; of two seeds, both."""
    n = len(values)
    if n == 1:
        return "%.3f" % values[0]
    if n == 2:
        return "%.3f (%.3f, %.3f)" % (mean(values), *values)
    half = T95.get(n - 1, 1.96) * deviation(values) / n**0.5
    return "%.3f [%.3f, %.3f]" % (mean(values), mean(values) - half, mean(values) + half)


def report(out, counts, o):
    boxes = "those of the detector `%s`" % os.path.basename(o["detector"]) if o["detector"] else "the simulator's exact ones"
    lines = ["# Boxes, pixels or the truth", "",
             "Written by `bench/perceive.py`: clones of the geometric follower in `sim=follow` (a ball among cones, cars and people, light,",
             "floor and colours drawn anew for each world). Boxes are %s, tracked and put into a slot; the truth is the ceiling." % boxes,
             "Each demonstration lasts 10 s; %d test worlds of 20 s that no demonstration shows, the same for all. Followed: the share of"
             % o["episodes"], "steps with the target 0.8 … 2.6 m away and within 25 degrees; mean over training seeds with Student's 95 % interval",
             "(of two seeds: both).", ""]
    for metric, title in (("followed", "Followed"), ("lost_per_minute", "Lost, times a minute")):
        lines += ["## " + title, "", "| sees | " + " | ".join("%d demonstrations" % c for c in counts) + " |", "|---|" + "---|" * len(counts)]
        for name, _, _ in WAYS:
            cells = []
            for count in counts:
                found = [load("%s/%s-%d-%d.json" % (out, name.replace(", ", "-"), count, s)) for s in range(1, o["seeds"] + 1)]
                values = [c[metric]["mean"] if isinstance(c[metric], dict) else c[metric] for c in found if c]
                cells.append("%s, n = %d" % (interval(values), len(values)) if values else "–")
            lines.append("| %s | %s |" % (name, " | ".join(cells)))
        lines.append("")
    lines += loop_lines(out)
    lines += ["Settings: demonstrations `%s`, tests `%s`; training `%s`, %d steps on vectors, %d on pictures." % (
        " ".join(DEMONSTRATIONS), " ".join(TEST), " ".join(COMMON), o["steps"], o["pixel_steps"]), ""]
    with open(o["report"], "w") as f:
        f.write("\n".join(lines))


def main():
    program, out = sys.argv[1:3]
    o, rest = settings(sys.argv[3:], {"detector": "", "width": 320, "seeds": 5, "counts": "10,30,100", "episodes": 20, "steps": 1500, "pixel_steps": 800,
                                      "report": "docs/results/perceive.md"})
    if rest:
        raise SystemExit("unknown: %s\n%s" % (rest, __doc__))
    counts = [int(c) for c in o["counts"].split(",")]
    os.makedirs(out, exist_ok=True)
    for count in counts:
        for seed in range(1, o["seeds"] + 1):
            for way in WAYS:
                run_cell(program, out, way, count, seed, o)
            report(out, counts, o)
    if o["detector"]:
        run_loop(program, out, counts[-1], o)
        report(out, counts, o)


main()
