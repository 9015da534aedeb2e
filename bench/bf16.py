#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""bfloat16 beside float: loss curves of two short trainings over the same seeds, and inference at batch 1.

usage: bf16.py MYNAH BENCH_KERNELS PUSHT.demos OUT_FOLDER [seeds=5] [rounds=3] [page=docs/results/bf16.md]

Trainings that are done are not done again: their folders are kept. Timings are taken each time, both precisions in turn.
"""
import json
import os
import re
import statistics
import subprocess
import sys

from results import deviation, load, mean, mynah, save, settings

SHORT = ["threads=1", "log.every=10", "valid.every=1000", "ema=none"]
TRAININGS = {
    "mixture of Gaussians (preset=pusht-gmm)": ["mlp", "preset=pusht-gmm", "batch=128", "steps=300", "warmup=30", *SHORT],
    "U-Net 64/128/256 (preset=pusht-diffusion)": ["diffusion", "preset=pusht-diffusion", "batch=32", "steps=100",
                                                  "warmup=10", *SHORT],
}
NETWORKS = {"mlp": "MLP 2x256", "mlp1024": "MLP 2x1024", "cnn": "driving CNN", "unet64": "U-Net 64/128/256",
            "unet256": "U-Net 256/512/1024", "unet512": "U-Net 512/1024/2048"}
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


def timings(binary, rounds):
    text = ["| network, batch 1, one thread | f32, us | bf16, us | f32 / bf16 |", "|---|---|---|---|"]
    for key, name in NETWORKS.items():
        us = {p: [] for p in PRECISIONS}
        for _ in range(rounds):
            for p in PRECISIONS:
                out = subprocess.run([binary, key, "infer", p], check=True, capture_output=True, text=True).stdout
                us[p].append(float(re.search(r"batch 1: ([\d.]+) us", out)[1]))
        a, b = statistics.median(us["f32"]), statistics.median(us["bf16"])
        text.append("| %s | %.1f | %.1f | %.2f |" % (name, a, b, a / b))
    return text


def processor():
    with open("/proc/cpuinfo") as f:
        text = f.read()
    flags = set(re.search(r"^flags\s*:(.*)", text, re.M)[1].split())
    has = [name for name in ("avx2", "avx512f", "avx512_bf16") if name in flags]
    return "%s (%s)" % (re.search(r"model name\s*:\s*(.*)", text)[1].split(" with ")[0], ", ".join(has))


def main():
    values, rest = settings(sys.argv[1:], {"seeds": 5, "rounds": 3, "page": "docs/results/bf16.md"})
    if len(rest) != 4:
        sys.exit(__doc__)
    program, binary, data, out = rest
    os.makedirs(out, exist_ok=True)
    learned = curves(program, data, out, values["seeds"])
    page = ["# bfloat16", "",
            "With `precision=bf16` the operands of matrix products and convolutions are rounded to the nearest bfloat16, ties to even;",
            "sums, weights, norms, losses and the optimiser stay in float. Written by `bench/bf16.py` on " + processor() + ".", "",
            "## The same loss curve", "",
            "Mean ± standard deviation over seeds; a seed begins with the same weights and sees the same batches at both precisions.", "",
            *learned,
            "## Inference", "",
            "Medians of the time of one prediction, both precisions in turn. Packed weights take half the bytes, so networks that wait for",
            "their weights gain on any processor. Training gains only where there are instructions for products of bfloat16.", "",
            *timings(binary, values["rounds"])]
    with open(values["page"], "w") as f:
        f.write("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
