#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Training by ranks: two ranks measured on this machine, and a simulated study to 64 ranks on networks of machines.

usage: scaling.py MYNAH BENCH_KERNELS [work=FOLDER] [rounds=3] [steps=20] [docs=docs/results] [measure=1]
Measured: the rate of two threads in one process and of `mpirun -n 2` with one thread each, in turn, and whether the files are equal;
and the parts of a training step on one thread (bench_kernels). Simulated: those parts, the size of the messages, and a model of latency
and bandwidth. Writes scaling.json in the work folder, then scaling.md and scaling.svg.
"""
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys

import results

RANKS = [1, 2, 4, 8, 16, 32, 64]
# name: bench_kernels' network, the command's policy and settings for the measured part
POLICIES = {
    "MLP 2x256": ("mlp", ["mlp", "inputs=observation.state", "trunk=plain", "widths=256,256", "batch=256"]),
    "diffusion U-Net 64/128/256": ("unet64", ["diffusion", "inputs=observation.state", "denoiser=unet", "unet.widths=64,128,256", "n_obs=2",
                                              "chunk=15", "batch=256"]),
}
# name: seconds a message needs besides its bytes, bytes a second that one machine sends and receives (92 % of the line rate)
NETWORKS = {"25 GbE": (30e-6, 0.92 * 25e9 / 8), "10 GbE": (50e-6, 0.92 * 10e9 / 8)}
OVERHEAD = 2e-6  # seconds of the processor for each message sent or received
STRONG_BATCH, WEAK_BATCH = 4096, 256


# ---- the model ----


def exchange(n_bytes, ranks, latency, bandwidth):
    """What ranks.c does, twice a step: every rank sends each other its slice. All messages are under way at once."""
    return latency + 2 * (ranks - 1) * OVERHEAD + n_bytes * (ranks - 1) / ranks / bandwidth if ranks > 1 else 0


def direct(n_bytes, ranks, latency, bandwidth):
    small = latency + 2 * (ranks - 1) * OVERHEAD if ranks > 1 else 0  # the squares of the norm; losses travel with the gradients
    return 2 * exchange(n_bytes, ranks, latency, bandwidth) + small


def ring(n_bytes, ranks, latency, bandwidth):
    return 2 * (ranks - 1) * (latency + 2 * OVERHEAD + n_bytes / ranks / bandwidth)


def tree(n_bytes, ranks, latency, bandwidth):
    """Binomial reduction and broadcast of all the gradients."""
    return 2 * math.ceil(math.log2(ranks)) * (latency + 2 * OVERHEAD + n_bytes / bandwidth)


def step_seconds(parts, batch, ranks, network, algorithm):
    """parts: seconds of one sample's forward and backward, of the sweeps over all weights, of packing; bytes of the weights."""
    sweeps = parts["sweeps"] / (ranks if algorithm is direct else 1)
    return parts["sample"] * batch / ranks + sweeps + parts["packing"] + algorithm(parts["bytes"], ranks, *network)


def efficiency(parts, is_weak, ranks, network, algorithm):
    if is_weak:
        return step_seconds(parts, WEAK_BATCH, 1, network, algorithm) / step_seconds(parts, WEAK_BATCH * ranks, ranks, network, algorithm)
    return step_seconds(parts, STRONG_BATCH, 1, network, algorithm) / (ranks * step_seconds(parts, STRONG_BATCH, ranks, network, algorithm))


# ---- measuring ----


def measure_parts(bench, network):
    text = subprocess.run([bench, network, "train", "f32"], check=True, capture_output=True, text=True, env={**os.environ, "THREADS": "1"}).stdout
    found = re.search(r"threads 1: [\d.]+ ms a step \(shards ([\d.]+), sweeps ([\d.]+), packing ([\d.]+)\)", text)
    return {"sample": float(found[1]) * 1e-3 / 256, "sweeps": float(found[2]) * 1e-3, "packing": float(found[3]) * 1e-3}


def train(program, ranks, threads, folder, policy, steps):
    out = os.path.join(folder, "out")
    shutil.rmtree(out, ignore_errors=True)
    launcher = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    command = launcher + [program, "train", *policy, "data=" + os.path.join(folder, "d.demos"), "out=" + out, "threads=%d" % threads,
                          "steps=%d" % steps, "valid.by=time", "valid.every=1000000", "log.every=1000000"]
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(command + ["--json", "--quiet"], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit("scaling: %s: %s" % (" ".join(command), done.stderr))
    return json.loads(done.stdout)


def measure(program, bench, settings):
    work, found = settings["work"], {}
    os.makedirs(work, exist_ok=True)
    if not os.path.exists(os.path.join(work, "d.demos")):
        results.mynah(program, "record", "sim=track", "source=expert", "out=" + os.path.join(work, "d.demos"), "episodes=8", "seed=1", "max_frames=400")
    for name, (network, policy) in POLICIES.items():
        steps = settings["steps"] * (60 if network == "mlp" else 1)
        rates, hashes = {"one thread": [], "two threads": [], "two ranks": []}, set()
        for _ in range(settings["rounds"]):
            for label, ranks, threads in (("one thread", 1, 1), ("two threads", 1, 2), ("two ranks", 2, 1)):
                told = train(program, ranks, threads, work, policy, steps)
                rates[label].append(told["samples_per_s"])
                hashes.add(told["sha256"])
                floats = told["parameters"]
        parts = {**measure_parts(bench, network), "bytes": 4 * floats}
        found[name] = {"parts": parts, "rates": {label: statistics.median(v) for label, v in rates.items()}, "is_same_file": len(hashes) == 1}
    results.save(os.path.join(work, "scaling.json"), found)
    return found


# ---- the page ----


def draw(path, found):
    plots = []
    lines = [("25 GbE", direct, "25 GbE"), ("10 GbE", direct, "10 GbE"), ("25 GbE", tree, "25 GbE, tree of whole gradients"),
             ("25 GbE", ring, "25 GbE, ring")]
    for row, is_weak in enumerate((True, False)):
        for column, (name, one) in enumerate(found.items()):
            plot = results.Plot(60 + 380 * column, 50 + 250 * row, 310, 170, (1, 64), (0, 1), True)
            plot.x_ticks(RANKS, "ranks, a machine each")
            plot.y_ticks([0, 0.25, 0.5, 0.75, 1], "%s: efficiency, %s" % (name, "%d samples a rank" % WEAK_BATCH if is_weak else "batch %d" % STRONG_BATCH))
            for i, (network, algorithm, _) in enumerate(lines):
                plot.line([(r, efficiency(one["parts"], is_weak, r, NETWORKS[network], algorithm)) for r in RANKS], results.COLOURS[i])
            plots.append(plot)
    for i, (_, _, label) in enumerate(lines):
        plots[0].parts.append('<path d="M%g 16h20" stroke="%s" stroke-width="2"/>' % (60 + 180 * i, results.COLOURS[i]))
        plots[0].text(84 + 180 * i, 20, label, "start")
    results.write_svg(path, 780, 560, plots)


def page(found):
    out = ["# Training by ranks", "",
           "Made by `bench/scaling.py`. `mpirun -n R mynah train …` cuts the fixed shards of a batch over R processes; what is sent and why the file stays "
           "the same is said in `src/learn/ranks.c`.", "", "## Measured: two ranks on one machine", "",
           "| policy | one thread | two threads | two ranks, a thread each | ranks / threads | same file |", "|---|---|---|---|---|---|"]
    for name, one in found.items():
        r = one["rates"]
        out.append("| %s | %.0f samples/s | %.0f | %.0f | **%.2f** | %s |" % (name, r["one thread"], r["two threads"], r["two ranks"],
                                                                          r["two ranks"] / r["two threads"], "yes" if one["is_same_file"] else "NO"))
    out += ["", "## Simulated: to 64 ranks, a machine each", "", "Nothing below was run on so many machines. It is computed from",
            "", "- **compute**: the parts of a training step measured on one thread here (below); a sample's time is taken to be that of shards of 128 samples;",
            "- **messages**: the trained weights as floats, (R-1)/R of them sent and received by every rank twice a step (slices of gradients, slices of new "
            "weights), and small ones for loss and norm;",
            "- **network**: %s; %g µs of the processor for each message sent or received; no other traffic, a switch that is never the limit, "
            "all ranks equally fast, nothing sent while something is computed;" % ("; ".join("%s = %.0f µs latency (TCP), %.2f GB/s each way (92 %% of the line)" % (
                name, latency * 1e6, bandwidth * 1e-9) for name, (latency, bandwidth) in NETWORKS.items()), OVERHEAD * 1e6),
            "- **ring** and **tree**: what a ring all-reduce, and a binomial reduction and broadcast of whole gradients with every rank updating all weights, would take on the same network.",
            "", "Each rank is one thread: more threads a rank make the compute shorter and the messages weigh more.", "",
            "| policy | weights | a sample, forward and backward | sweeps | packing |", "|---|---|---|---|---|"]
    for name, one in found.items():
        p = one["parts"]
        out.append("| %s | %.2f MB | %.1f µs | %.3f ms | %.3f ms |" % (name, p["bytes"] * 1e-6, p["sample"] * 1e6, p["sweeps"] * 1e3, p["packing"] * 1e3))
    out += ["", "![efficiency over ranks](scaling.svg)", ""]
    for is_weak, title in ((True, "Efficiency with %d samples a rank (the batch grows with the ranks)" % WEAK_BATCH),
                           (False, "Efficiency with a batch of %d (each rank has less to do)" % STRONG_BATCH)):
        out += ["## " + title, "", "| policy | network | way | " + " | ".join("%d" % r for r in RANKS) + " |", "|---|---|---|" + "---|" * len(RANKS)]
        for name, one in found.items():
            for network, values in NETWORKS.items():
                for way in (direct, ring, tree):
                    out.append("| %s | %s | %s | %s |" % (name, network, "ours" if way is direct else way.__name__, " | ".join(
                        "%.2f" % efficiency(one["parts"], is_weak, r, values, way) for r in RANKS)))
        out.append("")
    return "\n".join(out)


def main():
    settings, rest = results.settings(sys.argv[1:], {"work": "build/scaling", "rounds": 3, "steps": 20, "docs": "docs/results", "measure": 1})
    if len(rest) != 2:
        sys.exit(__doc__)
    found = measure(*rest, settings) if settings["measure"] else results.load(os.path.join(settings["work"], "scaling.json"))
    draw(os.path.join(settings["docs"], "scaling.svg"), found)
    with open(os.path.join(settings["docs"], "scaling.md"), "w") as f:
        f.write(page(found))


main()
