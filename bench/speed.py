#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Our speed beside the peers', on the same shapes, in one run: bench/results/CPU.csv, docs/results/speed.md and speed.svg.

usage: speed.py [networks=mlp,cnn,…] [what=train,infer,generate] [threads=1,2] [precisions=f32,bf16] [rounds=3] [compile.seconds=110]
                [compile.only=1] [again=1] [report=1] [page=speed]
A cell (network, training or inference, precision, threads) that the CSV holds is not measured again unless again=1; so a run that was
stopped goes on, and parts can be run by themselves. report=1 writes the page, docs/results/PAGE.md, from the CSV alone.
PyTorch compiles each network before its cell is timed, for compile.seconds at most (0: it is left out); compile.only=1 does that alone, and
its cache makes later runs quick.
The environment: MYNAH_PEERS names the peers' Python environment (build/peers otherwise), MYNAH_BENCH_WRAP a command that runs each cell.
"""
import csv
import json
import math
import os
import re
import shlex
import statistics
import subprocess
import sys
import time

import results

FIELDS = ["network", "what", "precision", "threads", "contender", "version", "median_ms", "p99_ms", "calls", "gflop", "peak_gflop_s", "machine_tail"]
# in the order of the report; of training also the batch
NETWORKS = {
    "mlp": "MLP 7-256-256-2, batch 256", "mlp1024": "MLP 7-1024-1024-2, batch 256", "pusht": "residual mixture policy, batch 512",
    "cnn": "driving CNN 66x200, batch 64", "unet64": "U-Net 64/128/256, batch 256", "unet256": "U-Net 256/512/1024, batch 256",
    "unet512": "U-Net 512/1024/2048", "act": "ACT, a camera of 480x640, batch 8", "resnet18": "ResNet-18 224x224, batch 8",
    "yolo320": "YOLO26n 320x320", "yolo640": "YOLO26n 640x640"}
SHARE_MOST = 200  # %, of the picture: products of bfloat16 and minimal filtering pass the peak of floats
DISTURBED = 2  # p99 / median of a loop in registers
UNETS = ("unet64", "unet256")  # whose whole generations are timed, too
DEFAULTS = {"networks": ",".join(NETWORKS), "what": "train,infer,generate", "threads": "1,2", "precisions": "f32,bf16", "rounds": 3,
            "compile.seconds": 110, "compile.only": 0, "again": 0, "report": 0, "program": "build/bench/bench_kernels", "folder": "bench/results",
            "docs": "docs/results", "page": "speed"}
COLOURS = {"Mynah": "#0072b2", "PyTorch": "#d55e00", "PyTorch, channels last": "#e69f00", "PyTorch, compiled": "#8a6d00",
           "ONNX Runtime": "#009e73", "OpenVINO": "#cc79a7", "LeRobot": "#666666"}


def cpu_name():
    """A file's name from the processor's: vendor, family, and the widest vectors."""
    info = dict(re.findall(r"^(.+?)\s*:\s*(.*)$", open("/proc/cpuinfo").read().split("\n\n")[0], re.M)) if os.path.exists("/proc/cpuinfo") else {}
    model = re.sub(r"\(\w+\)|CPU|Processor|@.*|\d+-Core", "", info.get("model name", "cpu"))
    if info.get("vendor_id") == "AuthenticAMD" and info.get("cpu family") in ("23", "25", "26"):
        number = int(info.get("model", "0"))
        zen = {"23": "zen2" if number >= 48 else "zen", "25": "zen4" if 16 <= number <= 31 or number >= 96 else "zen3", "26": "zen5"}
        model += " " + zen[info["cpu family"]]
    flags = info.get("flags", "").split()
    vectors = "avx512" if "avx512f" in flags else "avx2" if "avx2" in flags else ""
    return re.sub(r"[^a-z0-9]+", "-", (model + " " + vectors).lower()).strip("-")


def peers_python():
    folder = os.environ.get("MYNAH_PEERS", "build/peers")
    python = os.path.join(folder, "bin", "python")
    return python if os.path.exists(python) else None


# ---- measuring ----


def run_cell(cell, settings, python, mode, seconds):
    """The contenders' results, {} when there are none."""
    cpus = sorted(os.sched_getaffinity(0))[:cell["threads"]]
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers.py")
    command = shlex.split(os.environ.get("MYNAH_BENCH_WRAP", "")) + [python, script, json.dumps(cell), settings["program"], str(settings["rounds"]), mode]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=seconds,
                              preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    except subprocess.TimeoutExpired:
        print("skipped: %s of %s took over %d s" % (mode, cell["network"], seconds), flush=True)
        return None
    lines = done.stdout.splitlines()
    for line in lines:
        if line.startswith("skipped"):
            print(line, flush=True)
    if done.returncode != 0:
        print("skipped: %s %s: %s" % (cell["network"], cell["what"], (done.stderr.strip().splitlines() or ["no reason given"])[-1]), flush=True)
        return None
    return json.loads(lines[-1]) if mode != "prepare" and lines else {}


def rows_of(cell, found):
    own = [r for r in found.get("Mynah", {}).get("rounds", []) if r]
    if not own:
        return []
    gflop, peak, tail = own[0]["gflop"], max(r["peak"] for r in own), statistics.median(r["tail"] for r in own)
    rows = []
    for label, result in found.items():
        if label == "Mynah":
            median, p99, calls = statistics.median(r["median"] for r in own), statistics.median(r["p99"] for r in own), len(own)
        else:
            times = sorted(t for r in result["rounds"] for t in r["ms"])
            median, p99, calls = statistics.median(times), times[len(times) * 99 // 100], len(times)
        rows.append({**cell, "contender": label, "version": result["version"], "median_ms": "%.6g" % median, "p99_ms": "%.6g" % p99,
                     "calls": calls, "gflop": "%.6g" % gflop, "peak_gflop_s": "%.4g" % peak, "machine_tail": "%.2f" % tail})
    return rows


def key(row):
    return row["network"], row["what"], row["precision"], int(row["threads"])


def load_rows(path):
    if not os.path.exists(path):
        return []
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def save_rows(path, rows):
    order = {name: i for i, name in enumerate(NETWORKS)}
    rows.sort(key=lambda r: (order.get(r["network"], 99), ("train", "infer", "generate").index(r["what"]), r["precision"] != "f32", int(r["threads"])))
    with open(path + ".part", "w", newline="") as f:
        writer = csv.DictWriter(f, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(path + ".part", path)


def measure(settings, path):
    python = peers_python()
    if not python:
        print("skipped: all peers: no Python environment for them (tools/bench.sh makes one, MYNAH_PEERS names one)")
        python = sys.executable
    n_cpus = len(os.sched_getaffinity(0))
    for name in settings["networks"].split(","):
        for what in settings["what"].split(","):
            for precision in settings["precisions"].split(","):
                for threads in map(int, settings["threads"].split(",")):
                    if what == "generate" and name not in UNETS:
                        continue
                    cell, rows = {"network": name, "what": what, "precision": precision, "threads": threads}, load_rows(path)
                    if threads > n_cpus or (not settings["again"] and any(key(r) == key(cell) for r in rows)):
                        continue
                    begin = time.time()
                    mode = "all"
                    if settings["compile.seconds"] < 1 or run_cell(cell, settings, python, "prepare", settings["compile.seconds"]) is None:
                        mode = "eager"
                        print("skipped: PyTorch, compiled: %s %s %s" % (name, what, precision), flush=True)
                    if settings["compile.only"]:
                        continue
                    new = rows_of(cell, run_cell(cell, settings, python, mode, 1200) or {})
                    if not new:
                        print("skipped: %s %s %s on %d threads: not something bench_kernels times" % (name, what, precision, threads), flush=True)
                        continue
                    save_rows(path, [r for r in rows if key(r) != key(cell)] + new)
                    for row in new:
                        print("%-9s %-5s %-4s %d  %-22s %10s ms  p99 %10s   theirs / ours %5.2f" % (
                            name, what, precision, threads, row["contender"], row["median_ms"], row["p99_ms"],
                            float(row["median_ms"]) / float(new[0]["median_ms"])), flush=True)
                    if float(new[0]["machine_tail"]) > DISTURBED:
                        print("  disturbed: other programs ran meanwhile; again=1 measures it once more", flush=True)
                    print("  %.0f s" % (time.time() - begin), flush=True)


# ---- the report ----


def cells_of(rows):
    cells = {}
    for row in rows:
        cells.setdefault(key(row), {})[row["contender"]] = row
    return {k: c for k, c in cells.items() if "Mynah" in c}


def best_peer(cell):
    others = [r for label, r in cell.items() if label != "Mynah"]
    return min(others, key=lambda r: float(r["median_ms"])) if others else None


def share(row, threads):
    rate = float(row["gflop"]) / float(row["median_ms"]) * 1e3
    return rate / (float(row["peak_gflop_s"]) * threads)


def milliseconds(text):
    return "%.3g" % float(text) if float(text) < 100 else "%.0f" % float(text)


def table(cells, what, precision):
    labels = [label for label in COLOURS if any(label in c for k, c in cells.items() if k[1] == what and k[2] == precision)]
    lines = ["| network | threads | " + " | ".join(label + " ms" for label in labels) + " | best peer / ours | p99 / median | share of peak |",
             "|---|---|" + "---|" * (len(labels) + 3)]
    for k, cell in cells.items():
        if k[1] != what or k[2] != precision:
            continue
        own, peer = cell["Mynah"], best_peer(cell)
        name = NETWORKS.get(k[0], k[0])
        lines.append("| %s | %d | %s | %s | %.2f%s | %.0f %% |" % (
            name if what == "train" else name.split(", batch")[0], k[3],
            " | ".join(milliseconds(cell[label]["median_ms"]) if label in cell else "–" for label in labels),
            "**%.2f**" % (float(peer["median_ms"]) / float(own["median_ms"])) if peer else "–",
            float(own["p99_ms"]) / float(own["median_ms"]), " (%s)" % own["machine_tail"] if own.get("machine_tail") else "", 100 * share(own, k[3])))
    return lines if len(lines) > 2 else []


def draw(path, cells):
    keys = list(cells)
    height, top, left, width = 15 * len(keys), 40, 190, 230
    times = [float(r["median_ms"]) for c in cells.values() for r in c.values()]
    low, high = 10 ** int(min(0, math.floor(math.log10(min(times))))), 10 ** math.ceil(math.log10(max(times)))
    n = len(keys)
    time_plot = results.Plot(left, top, width, height, (low, high), (0, n), True)
    ratio_plot = results.Plot(left + width + 50, top, width, height, (0.25, 16), (0, n), True)
    share_plot = results.Plot(left + 2 * width + 80, top, width, height, (0, SHARE_MOST), (0, n))
    decades = []
    while low <= high:
        decades.append(low)
        low *= 100
    time_plot.x_ticks(decades, "time of a step or a prediction, ms")
    ratio_plot.x_ticks([0.25, 0.5, 1, 2, 4, 8, 16], "peer's time / ours (right of 1: ours is faster)")
    share_plot.x_ticks([0, 50, 100, 150, SHARE_MOST], "share of the float multiply-add peak, %")
    share_plot.line([(100, 0), (100, n)], "#222")
    ratio_plot.line([(1, 0), (1, n)], "#222")
    for i, k in enumerate(keys):
        y, cell = n - i - 0.5, cells[k]
        time_plot.text(left - 6, time_plot.at(1, y)[1] + 4, "%s %s %s, %d" % (k[0], k[1], k[2], k[3]), "end")
        own = float(cell["Mynah"]["median_ms"])
        for label in reversed(list(COLOURS)):
            if label not in cell:
                continue
            ms = float(cell[label]["median_ms"])
            time_plot.dot(ms, y, COLOURS[label], label != "Mynah")
            share_plot.dot(min(SHARE_MOST, 100 * share({**cell["Mynah"], "median_ms": ms}, k[3])), y, COLOURS[label], label != "Mynah")
            if label != "Mynah":
                ratio_plot.dot(min(16, max(0.25, ms / own)), y, COLOURS[label], True)
    for i, (label, colour) in enumerate(COLOURS.items()):
        x = left + 140 * (i % 7) - 180
        time_plot.parts.append('<circle cx="%g" cy="16" r="4" fill="%s" stroke="%s"/>' % (x, colour if label == "Mynah" else "#fff", colour))
        time_plot.text(x + 8, 20, label, "start")
    results.write_svg(path, left + 3 * width + 110, top + height + 44, [time_plot, ratio_plot, share_plot])


def report(settings, path):
    rows = load_rows(path)
    cells = cells_of(rows)
    if not cells:
        return
    cpu = os.path.basename(path)[:-4]
    os.makedirs(settings["docs"], exist_ok=True)
    draw(os.path.join(settings["docs"], settings["page"] + ".svg"), cells)
    versions = sorted({r["contender"].split(",")[0] + " " + r["version"] for r in rows if r["version"] and r["contender"] != "Mynah"})
    commits = ", ".join(sorted({r["version"] for r in rows if r["contender"] == "Mynah"}))
    peaks = sorted(float(r["peak_gflop_s"]) for r in rows)
    out = ["# Speed beside the peers", "",
           "Made by `make bench` (`bench/speed.py`) from `bench/results/%s.csv`; on another machine it writes another file." % cpu, "",
           "Processor: %s. Measured peak of float multiply-adds on one core: %.1f GFLOP/s (median of all cells; the share of the peak is of this "
           "times the threads, measured in the same cell). Mynah at %s. Peers: %s." % (cpu, peaks[len(peaks) // 2], commits, ", ".join(versions)), "",
           "One training step is forward, backward, sum over two shards, gradient norm, AdamW and moving average on our side; forward, backward and "
           "AdamW (no norm, no average) on the peers'. Inference is one prediction, batch 1, from the same shapes with random weights. Contenders "
           "take turns in every round, pinned to as many cores as threads; each figure is a median of all calls. Beside *p99 / median*, in brackets: that "
           "of a loop of 0.1 ms that touches nothing but registers, on the same core in the same minute: the machine's own, where other programs run too. *Best peer / ours* over 1: ours is "
           "faster. Shares are of the direct sums' operations: bfloat16 and minimal filtering (Winograd) pass 100 %. bf16: bfloat16 operands with float sums here, autocast in PyTorch, the precision hint in OpenVINO; ONNX Runtime's CPU kernels have none.", "",
           "![time, ratio to each peer, share of the peak](%s.svg)" % settings["page"], ""]
    for what, title in (("train", "Training step"), ("infer", "Prediction"), ("generate", "A chunk by ten steps of DDIM, beside ten of the peers' steps")):
        for precision in ("f32", "bf16"):
            lines = table(cells, what, precision)
            if lines:
                out += ["## %s, %s" % (title, precision), ""] + lines + [""]
    cost = path[:-4] + "-cost.csv"
    if os.path.exists(cost):
        out += ["## Cost", "", "By `bench/cost.py`.", "", "| what | value | unit |", "|---|---|---|"]
        out += ["| %s | %s | %s |" % (r["what"], r["value"], r["unit"]) for r in load_rows(cost)] + [""]
    with open(os.path.join(settings["docs"], settings["page"] + ".md"), "w") as f:
        f.write("\n".join(out))


def main():
    settings, rest = results.settings(sys.argv[1:], DEFAULTS)
    if rest:
        sys.exit(__doc__)
    os.makedirs(settings["folder"], exist_ok=True)
    path = os.path.join(settings["folder"], cpu_name() + ".csv")
    if not settings["report"]:
        measure(settings, path)
    report(settings, path)


if __name__ == "__main__":
    main()
