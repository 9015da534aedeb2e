#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ladder of policies on Push-T: each rung trained from the same demonstrations and measured on the same 200 starts.

usage: pusht_ladder.py MYNAH PUSHT.demos OUT_FOLDER [rungs=mlp,chunk-mse,...] [seeds=1,2,3] [episodes=200] [last=10]
                       [last_episodes=50] [choose=20] [threads=2] [share=1] [pixels=RUN] [report=docs/results]

A cell is one rung with one training seed, in OUT_FOLDER/RUNG/seedN; what is finished there is not done again, a training
that was stopped goes on. The best checkpoint of a cell is chosen by `choose` episodes from seed 50000 (20 times a
training); measured are it on `episodes` starts from seed 100000, and the last `last` of those 20 checkpoints on
`last_episodes` of them. share: of the presets' steps, for a ladder of short trainings; rungs called apart may have their
own. pixels: the folder of a run on pictures, `train flow preset=pusht-pixels eval.sim=pusht eval.every=…`, which is measured on the same
starts and told with its curve. After each cell the report is written anew from all cells there are: pusht.md and pusht.svg."""
import json
import os
import sys

import results

EVALUATIONS = 20
TEST_SEED = 100000
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")

# name, policy, preset, changes to it, what it is
RUNGS = [
    ("mlp", "mlp", "pusht-gmm", ["chunk=1", "execute.steps=1", "head=mse"], "one action at a time, mean squared error"),
    ("chunk-mse", "mlp", "pusht-gmm", ["head=mse"], "16 actions at once, mean squared error"),
    ("chunk-l1", "mlp", "pusht-gmm", ["head=l1"], "16 actions at once, absolute error"),
    ("chunk-gmm", "mlp", "pusht-gmm", [], "16 actions at once, mixture of 5 Gaussians"),
    ("lstm-gmm", "rnn", "pusht-rnn", [], "LSTM, one action at a time, mixture of 5 Gaussians"),
    ("act", "act", "pusht-act", [], "ACT: transformer with a latent, L1"),
    ("diffusion", "diffusion", "pusht-diffusion", [], "Diffusion Policy: U-Net that predicts noise"),
    ("flow", "flow", "pusht-best", [], "rectified flow matching"),
]
METRICS = ["mean_max_reward", "success_coverage", "success_reward"]


def preset_steps(name):
    preset = results.load(os.path.join(ROOT, "configs", name + ".json"))
    return int(preset.get("steps", 0)) if preset else 0


def last_rate(run):
    """Samples a second, as the run's log has it last."""
    rate = 0.0
    with open(os.path.join(run, "metrics.jsonl")) as f:
        for line in f:
            rate = json.loads(line).get("samples_per_s", rate)
    return rate


def train(program, data, run, rung, seed, o):
    _, policy, preset, changes, _ = rung
    steps = round(o["share"] * preset_steps(preset))
    if steps == 0:
        raise results.Refused(2, "preset %s: not there, or without steps" % preset)
    if os.path.exists(os.path.join(run, "config.json")):
        trained = results.mynah(program, "train", "resume=" + run, "threads=%d" % o["threads"])
    else:
        every = max(1, steps // EVALUATIONS)
        trained = results.mynah(program, "train", policy, "preset=" + preset, *changes, "data=" + data, "out=" + run,
                                "seed=%d" % seed, "steps=%d" % steps, "threads=%d" % o["threads"], "eval.sim=pusht",
                                "eval.every=%d" % every, "eval.episodes=%d" % o["choose"], "checkpoint.every=%d" % every,
                                "checkpoint.policies=%d" % o["last"])
    batch = results.load(os.path.join(run, "config.json"))["config"]["batch"]
    trained["train_s"] = trained["steps"] * batch / (trained["samples_per_s"] or last_rate(run))
    trained["tflop"] = trained["gflop_per_step"] * trained["steps"] / 1000
    return trained


def run_cell(program, data, out, rung, seed, o):
    folder = os.path.join(out, rung[0], "seed%d" % seed)
    path = os.path.join(folder, "cell.json")
    key = {name: o[name] for name in ("episodes", "last", "last_episodes", "choose", "share")}
    cell = results.load(path) or {"key": key, "rung": rung[0], "seed": seed, "last": {}}
    if cell["key"] != key:
        raise results.Refused(2, "%s was made with %s: use another folder" % (path, cell["key"]))
    run = os.path.join(folder, "run")
    os.makedirs(folder, exist_ok=True)
    measure = ["sim=pusht", "seed=%d" % TEST_SEED, "threads=%d" % o["threads"]]
    if "trained" not in cell:
        cell["trained"] = train(program, data, run, rung, seed, o)
        results.save(path, cell)
    if "best" not in cell:
        cell["best"] = results.mynah(program, "eval", os.path.join(run, "policy.safetensors"), *measure, "episodes=%d" % o["episodes"])
        results.save(path, cell)
    for name in sorted(os.listdir(os.path.join(run, "policies"))):
        if name not in cell["last"]:
            cell["last"][name] = results.mynah(program, "eval", os.path.join(run, "policies", name), *measure, "episodes=%d" % o["last_episodes"])
            results.save(path, cell)
    return cell


# ---- the report --------------------------------------------------------------------------------------------------------


def curve(out, cell):
    """(TFLOP, score on the choosing starts) of each evaluation while training."""
    points = []
    with open(os.path.join(out, cell["rung"], "seed%d" % cell["seed"], "run", "metrics.jsonl")) as f:
        for line in f:
            j = json.loads(line)
            if j.get("score") is not None:
                points.append((j["step"] * cell["trained"]["gflop_per_step"] / 1000, j["score"]))
    return points


def all_cells(out):
    """{rung: finished cells in order of seed}"""
    cells = {}
    for rung in RUNGS:
        folder = os.path.join(out, rung[0])
        found = [results.load(os.path.join(folder, s, "cell.json")) for s in (os.listdir(folder) if os.path.isdir(folder) else [])]
        found = sorted((c for c in found if c and "best" in c and len(c["last"]) > 0), key=lambda c: c["seed"])
        if found:
            cells[rung[0]] = found
    return cells


def summary(cells):
    """Over the seeds of a rung. Interval: the policies' own intervals averaged: they share their starts, so more seeds do
    not make it narrower; the spread over seeds is given beside it."""
    best = [c["best"]["mean_max_reward"] for c in cells]
    last = [results.mean([e["mean_max_reward"]["mean"] for e in c["last"].values()]) for c in cells]
    final = [c["last"][max(c["last"], key=lambda name: int(name.split(".")[0]))]["mean_max_reward"]["mean"] for c in cells]
    s = {"best": results.mean([b["mean"] for b in best]), "seeds": [b["mean"] for b in best],
         "low": results.mean([b["ci"][0] for b in best]), "high": results.mean([b["ci"][1] for b in best]),
         "spread": results.deviation([b["mean"] for b in best]), "last": results.mean(last), "lasts": last, "final": results.mean(final), "finals": final,
         "train_s": results.mean([c["trained"]["train_s"] for c in cells]),
         "tflop": results.mean([c["trained"]["tflop"] for c in cells]),
         "parameters": cells[0]["trained"]["parameters"],
         "ms": results.mean([c["best"]["infer_ms"]["p50"] for c in cells])}
    for metric in METRICS[1:]:
        k, n = (sum(c["best"][metric][key] for c in cells) for key in ("k", "n"))
        s[metric] = (k / n, *results.wilson(k, n))
    for metric in ("seam_jump", "jerk"):
        s[metric] = results.mean([c["best"][metric] for c in cells])
    return s


def draw(path, out, cells):
    rows = [r for r in RUNGS if r[0] in cells]
    left = results.Plot(110, 40, 300, 30 * len(rows), (0, 1), (len(rows), 0))
    left.x_ticks([0, 0.2, 0.4, 0.6, 0.8, 1], "mean max reward: dots seeds, bar 95 %, ring last checkpoints")
    points = {r[0]: [curve(out, c) for c in cells[r[0]]] for r in rows}
    tflops = [x for curves in points.values() for c in curves for x, _ in c]
    low, high = min(tflops), max(max(tflops), 2 * min(tflops))
    right = results.Plot(470, 40, 300, 30 * len(rows), (low, high), (0, 1), is_log_x=True)
    ticks = [t for e in range(-3, 7) for t in (10.0 ** e,) if low <= t <= high] or [low]
    right.x_ticks(ticks, "training, TFLOP")
    right.y_ticks([0, 0.2, 0.4, 0.6, 0.8, 1], "score on the choosing starts, each seed")
    for i, rung in enumerate(rows):
        colour, s = results.COLOURS[RUNGS.index(rung) % len(results.COLOURS)], summary(cells[rung[0]])
        left.text(100, left.at(0, i + 0.5)[1] + 4, rung[0], "end", colour)
        left.whisker(s["low"], s["high"], i + 0.5, colour)
        for value in s["seeds"]:
            left.dot(value, i + 0.5, colour)
        left.dot(s["last"], i + 0.5, colour, is_hollow=True)
        for points_of_seed in points[rung[0]]:
            right.line(points_of_seed, colour)
    results.write_svg(path, 800, 30 * len(rows) + 90, [left, right])


def measure_pixels(program, o):
    path = os.path.join(o["pixels"], "test.json")
    if not os.path.exists(path):
        results.save(path, results.mynah(program, "eval", os.path.join(o["pixels"], "policy.safetensors"), "sim=pusht", "seed=%d" % TEST_SEED,
                                         "threads=%d" % o["threads"], "episodes=%d" % o["episodes"]))


def pixel_lines(run):
    test, config = results.load(os.path.join(run, "test.json")), results.load(os.path.join(run, "config.json"))["config"]
    curve = []
    with open(os.path.join(run, "metrics.jsonl")) as f:
        for line in f:
            j = json.loads(line)
            if j.get("score") is not None:
                curve.append((j["step"], j["score"], j["evaluation"]["mean_max_reward"]["ci"]))
    reward, coverage = test["mean_max_reward"], test["success_coverage"]
    return ["## From pixels", "",
            "`train flow preset=pusht-pixels steps=%d precision=%s`, the picture of 96x96 alone, no positions: one training, %.0f s with %d threads. The best"
            % (config["steps"], config["precision"], config["steps"] * config["batch"] / last_rate(run), config["threads"]),
            "checkpoint by the choosing starts: reward **%.3f** [%.3f, %.3f], coverage > 0.95 in %d of %d; a chunk in %.1f ms." % (
                reward["mean"], *reward["ci"], coverage["k"], coverage["n"], test["infer_ms"]["p50"]), "",
            "| step | reward on the choosing starts |", "|---|---|", *("| %d | %.3f [%.3f, %.3f] |" % (step, score, *ci) for step, score, ci in curve), ""]


def write_report(folder, out, o):
    cells = all_cells(out)
    if not cells:
        return
    os.makedirs(folder, exist_ok=True)
    draw(os.path.join(folder, "pusht.svg"), out, cells)
    text = ["# Push-T: a ladder of policies", "", "![mean max reward of each rung, and score while training](pusht.svg)", "",
            "Written by `bench/pusht_ladder.py`. All are trained from the same human demonstrations.",
            "The best of %d checkpoints is chosen by %d episodes from seed 50000; it is measured on %d episodes from seed %d, which nothing"
            % (EVALUATIONS, o["choose"], o["episodes"], TEST_SEED),
            "was chosen by, and so are the last %d checkpoints, on the first %d of those." % (o["last"], o["last_episodes"]), "",
            "- **reward**: mean over episodes of the largest reward (coverage of the goal / 0.95, at most 1); in brackets the mean of the",
            "  seeds' 95 % intervals (percentile bootstrap; seeds share their starts); ±: standard deviation over training seeds.",
            "- **last %d**: the same mean over the last checkpoints, **final**: of the last one alone; nothing was chosen at all." % o["last"],
            "- **success**: share of episodes with coverage > 0.95, and with reward ≥ 0.95; Wilson's interval over all seeds' episodes.",
            "- **TFLOP**: floating-point operations of the compiled training program times steps; seconds with %d thread%s." %
            (o["threads"], "" if o["threads"] == 1 else "s"), "",
            "| rung | seeds | reward, best | ± | last %d | final | coverage > 0.95 | reward ≥ 0.95 | training, s | TFLOP |" % o["last"],
            "|---|---|---|---|---|---|---|---|---|---|"]
    rows = [(r, cells[r[0]], summary(cells[r[0]])) for r in RUNGS if r[0] in cells]
    for rung, found, s in rows:
        text.append("| %s | %d | **%.3f** [%.3f, %.3f] | %.3f | %.3f | %.3f | %.2f [%.2f, %.2f] | %.2f [%.2f, %.2f] | %.0f | %.1f |" % (
            rung[0], len(found), s["best"], s["low"], s["high"], s["spread"], s["last"], s["final"], *s["success_coverage"],
            *s["success_reward"], s["train_s"], s["tflop"]))
    text += ["", "Steps: share of the preset's, with its schedule shortened; a rung below 1 is not yet what its preset reaches.", "",
             "| rung | what | preset | steps | parameters | chunk in, ms | seam jump | jerk |", "|---|---|---|---|---|---|---|---|"]
    for rung, found, s in rows:
        text.append("| %s | %s | `%s` | %g | %s | %.2f | %.4f | %.1f |" % (
            rung[0], rung[4], " ".join([rung[1], "preset=" + rung[2], *rung[3]]), found[0]["key"]["share"], format(s["parameters"], ","),
            s["ms"], s["seam_jump"], s["jerk"]))
    text += ["", "Each seed, best / last / final: " + "; ".join("%s %s" % (r[0], ", ".join("%.3f / %.3f / %.3f" % t for t in zip(s["seeds"], s["lasts"], s["finals"])))
             for r, _, s in rows) + ".", ""]
    if o["pixels"]:
        text += pixel_lines(o["pixels"])
    with open(os.path.join(folder, "pusht.md"), "w") as f:
        f.write("\n".join(text))


def main():
    o, rest = results.settings(sys.argv[1:], {"rungs": ",".join(r[0] for r in RUNGS), "seeds": "1,2,3", "episodes": 200, "last": 10,
                                              "last_episodes": 50,
                                              "choose": 20, "threads": 2, "share": 1.0, "pixels": "", "report": os.path.join(ROOT, "docs", "results")})
    names = [r[0] for r in RUNGS]
    wanted = o["rungs"].split(",")
    if len(rest) != 3 or any(w not in names for w in wanted):
        sys.exit(__doc__ + "\n\nrungs: " + ", ".join(names))
    program, data, out = rest
    if o["pixels"]:
        measure_pixels(program, o)
    for seed in map(int, o["seeds"].split(",")):
        for rung in (r for r in RUNGS if r[0] in wanted):
            try:
                cell = run_cell(program, data, out, rung, seed, o)
            except results.Refused as refusal:
                print("%-10s seed %d: not done: %s" % (rung[0], seed, str(refusal).splitlines()[0]), flush=True)
                continue
            print("%-10s seed %d: best %.3f, last %.3f, %.0f s, %.1f TFLOP" % (
                rung[0], seed, cell["best"]["mean_max_reward"]["mean"],
                results.mean([e["mean_max_reward"]["mean"] for e in cell["last"].values()]),
                cell["trained"]["train_s"], cell["trained"]["tflop"]), flush=True)
            write_report(o["report"], out, o)
    write_report(o["report"], out, o)


main()
