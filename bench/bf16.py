#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""bfloat16 beside float: loss curves of two short trainings over the same seeds. Times are bench/speed.py's.

usage: bf16.py MYNAH PUSHT.demos OUT_FOLDER [seeds=5] [page=docs/results/bf16.md]

Trainings that are done are not done again: their folders are kept.
"""
import json
import os
import re
import sys

from results import deviation, load, mean, mynah, save, settings

SHORT = ["threads=1", "log.every=10", "valid.every=1000", "ema=none"]
TRAININGS = {
    "mixture of Gaussians (preset=pusht-gmm)": ["mlp", "preset=pusht-gmm", "batch=128", "steps=600", "warmup=60", *SHORT],
    "U-Net 64/128/256 (preset=pusht-diffusion)": ["diffusion", "preset=pusht-diffusion", "batch=32", "steps=200",
                                                  "warmup=20", *SHORT],
}
PRECISIONS = ("f32", "bf16")
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}  # 97.5 %, by seeds


def curve(program, data, folder, seed, precision, keys):
    """{"loss": {step: mean training loss of the interval}, "valid": validation loss at the end}"""
    done = load(folder + ".json")
    if done:
        return done
    report = mynah(program, "train", *keys, "data=" + data, "out=" + folder, "seed=%d" % seed, "precision=" + precision)
    with open(os.path.join(folder, "metrics.jsonl")) as f:
        lines = [json.loads(line) for line in f]
    done = {"loss": {str(x["step"]): x["loss"] for x in lines if "loss" in x}, "valid": report["val_loss"]}
    save(folder + ".json", done)
    return done


def row(name, pairs):
    """Values of the seeds at both precisions; the difference is paired by seed, its interval by Student's t."""
    f32, bf16 = [a for a, _ in pairs], [b for _, b in pairs]
    difference = [b - a for a, b in pairs]
    half = STUDENT[len(pairs)] * deviation(difference) / len(pairs) ** 0.5
    return "| %s | %.4f ± %.4f | %.4f ± %.4f | %+.4f [%+.4f, %+.4f] |" % (
        name, mean(f32), deviation(f32), mean(bf16), deviation(bf16), mean(difference), mean(difference) - half,
        mean(difference) + half)


def curves(program, data, out, n_seeds):
    text = []
    for number, (name, keys) in enumerate(TRAININGS.items()):
        runs = [[curve(program, data, "%s/%d-%s-%d" % (out, number, p, seed), seed, p, keys) for p in PRECISIONS]
                for seed in range(1, n_seeds + 1)]
        steps = sorted(map(int, runs[0][0]["loss"]))
        shown = [steps[len(steps) * k // 5 - 1] for k in range(1, 6)]
        text += ["### " + name, "", "`mynah train %s precision=…`, seeds 1 … %d" % (" ".join(keys), n_seeds), "",
                 "| loss | f32 | bf16 | bf16 - f32 (95 %) |", "|---|---|---|---|"]
        for step in shown:
            text.append(row("training, to step %d" % step, [(a["loss"][str(step)], b["loss"][str(step)]) for a, b in runs]))
        text += [row("validation, at the end", [(a["valid"], b["valid"]) for a, b in runs]), ""]
    return text


def processor():
    with open("/proc/cpuinfo") as f:
        text = f.read()
    flags = set(re.search(r"^flags\s*:(.*)", text, re.M)[1].split())
    has = [name for name in ("avx2", "avx512f", "avx512_bf16") if name in flags]
    return "%s (%s)" % (re.search(r"model name\s*:\s*(.*)", text)[1].split(" with ")[0], ", ".join(has))


def main():
    values, rest = settings(sys.argv[1:], {"seeds": 5, "page": "docs/results/bf16.md"})
    if len(rest) != 3:
        sys.exit(__doc__)
    program, data, out = rest
    os.makedirs(out, exist_ok=True)
    learned = curves(program, data, out, values["seeds"])
    page = ["# bfloat16", "",
            "With `precision=bf16` the operands of matrix products and convolutions are rounded to the nearest bfloat16, ties to even;",
            "sums, weights, norms, losses and the optimiser stay in float. Written by `bench/bf16.py` on " + processor() + ".", "",
            "## The same loss curve", "",
            "Mean ± standard deviation over seeds; a seed begins with the same weights and sees the same batches at both precisions.", "",
            *learned, "What it gains in time: `speed.md`. Training gains only where there are instructions for products of bfloat16."]
    with open(values["page"], "w") as f:
        f.write("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
