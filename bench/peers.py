# SPDX-License-Identifier: MIT OR Apache-2.0
"""One cell of bench/speed.py: a network, training, inference or generation, a precision, a number of threads; run in the peers' Python.

Every contender is made ready, then all are run in turn, round after round, so that a machine that changes its speed changes it for all.
The last line of the output is JSON: {contender: {"version", "ms": [one time a call], ...}}. What cannot be had is printed as "skipped: …".
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time

SECONDS = {"train": 0.8, "infer": 0.4, "generate": 0.8}  # of each contender in each round; at least three calls
LONG_MS = 4000  # so long a time is enough of one round, with fewer
DDIM_STEPS = 10  # of a generation: ours is all of it, the peers' ten runs of the network


def skip(text):
    print("skipped: " + text.splitlines()[0][:200], flush=True)


def ours(program, cell):
    """A contender: function that runs one round and returns {"ms": [...], ...}. bench_kernels prints the median and p99 of its round."""
    def one_round():
        arguments = [program, cell["network"], cell["what"], cell["precision"]]
        text = subprocess.run(arguments, check=True, capture_output=True, text=True, env={**os.environ, "THREADS": str(cell["threads"])}).stdout
        if cell["what"] == "train":
            found = re.search(r"^train .* threads %d: ([\d.]+) ms a step .*, ([\d.]+) \(p99\), ([\d.]+) GFLOP/s" % cell["threads"], text, re.M)
            times = [float(found[1]), float(found[2])] if found else []
        else:
            found = re.search(r"^%s .* threads %d batch 1: ([\d.]+) us \(median\), ([\d.]+) \(p99\).*, ([\d.]+) GFLOP/s" % (cell["what"], cell["threads"]), text, re.M)
            times = [float(found[1]) * 1e-3, float(found[2]) * 1e-3] if found else []
        if not found:
            return {}
        peak, tail = re.search(r"one core: ([\d.]+) GFLOP/s; p99 / median of a loop in registers: ([\d.]+)", text).groups()
        return {"median": times[0], "p99": times[1], "gflop": float(found[3]) * times[0] * 1e-3, "peak": float(peak), "tail": float(tail)}
    return one_round


def timed(run, seconds):
    """A contender of a function: the times of its calls."""
    def one_round():
        times, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end or (len(times) < 3 and sum(times) < LONG_MS):
            begin = time.perf_counter()
            run()
            times.append((time.perf_counter() - begin) * 1e3)
        return {"ms": times}
    return one_round


def torch_contenders(cell, is_compiled):
    import torch
    from peer_networks import NETWORKS
    if cell["network"] not in NETWORKS:
        return {}
    build, inputs, shapes, batch, loss = NETWORKS[cell["network"]]
    is_training = cell["what"] == "train"
    torch.set_num_threads(cell["threads"])
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=cell["precision"] == "bf16")
    found = {}

    def add(label, layout, compiled):
        model = build().train(is_training)
        tensors = [torch.randn(batch if is_training else 1, *shape) for shape in (shapes if is_training else inputs)]
        if len(inputs[0]) == 3:
            model, tensors[0] = model.to(memory_format=layout), tensors[0].to(memory_format=layout)
        body = (lambda *t: loss(model, *t)) if is_training else (lambda *t: model(*t))
        run = torch.compile(body) if compiled else body
        optimiser = torch.optim.AdamW(model.parameters(), 1e-3) if is_training else None

        def train():
            optimiser.zero_grad(set_to_none=True)
            with autocast:
                y = run(*tensors)
            y.backward()
            optimiser.step()

        def infer():
            with torch.inference_mode(), autocast:
                run(*tensors)

        found[label] = (train if is_training else infer, torch.__version__)

    add("PyTorch", torch.contiguous_format, False)
    if len(inputs[0]) == 3:
        add("PyTorch, channels last", torch.channels_last, False)
    if is_compiled:
        add("PyTorch, compiled", torch.channels_last, True)
    return found


def exported(cell):
    """The path of the network as ONNX and its inputs."""
    import torch
    from peer_networks import FILES, NETWORKS
    if cell["network"] in FILES:
        path, shapes = FILES[cell["network"]]
        if not os.path.exists(path):
            raise FileNotFoundError("no file " + os.path.basename(path))
        return path, [torch.randn(1, *shape).numpy() for shape in shapes]
    build, shapes, _, _, _ = NETWORKS[cell["network"]]
    tensors = tuple(torch.randn(1, *shape) for shape in shapes)
    path = os.path.join(tempfile.mkdtemp(), cell["network"] + ".onnx")
    torch.onnx.export(build().eval(), tensors, path, input_names=["x%d" % i for i in range(len(tensors))], dynamo=False)
    return path, [x.numpy() for x in tensors]


def onnxruntime_contenders(path, tensors, cell):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = cell["threads"], 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {i.name: x for i, x in zip(session.get_inputs(), tensors)}
    return {"ONNX Runtime": (lambda: session.run(None, feed), ort.__version__)}


def openvino_contenders(path, tensors, cell):
    import numpy as np
    import openvino as ov
    config = {"INFERENCE_NUM_THREADS": cell["threads"], "INFERENCE_PRECISION_HINT": cell["precision"], "PERFORMANCE_HINT": "LATENCY"}
    request = ov.Core().compile_model(path, "CPU", config).create_infer_request()
    for i, x in enumerate(tensors):
        request.set_input_tensor(i, ov.Tensor(np.ascontiguousarray(x)))
    return {"OpenVINO": (request.infer, ov.__version__.split("-")[0])}


def peers_of(cell, is_compiled):
    found = {}
    try:
        found.update(torch_contenders(cell, is_compiled))
    except ImportError as e:
        skip("PyTorch: %s" % e)
        return found
    if cell["what"] == "train":
        return found
    try:
        path, tensors = exported(cell)
    except Exception as e:  # the exporter raises its own kinds
        skip("ONNX Runtime, OpenVINO: %s: %s" % (cell["network"], e))
        return found
    for label, make in (("ONNX Runtime", onnxruntime_contenders), ("OpenVINO", openvino_contenders)):
        if label == "ONNX Runtime" and cell["precision"] != "f32":
            continue  # its CPU kernels have no bfloat16
        try:
            found.update(make(path, tensors, cell))
        except Exception as e:  # not installed, or it cannot read the network
            skip("%s: %s: %s" % (label, cell["network"], e))
    return found


def lerobot(cell):
    """LeRobot's own ACT, in a Python of its own, as a contender that answers a line for a line."""
    python = os.environ.get("MYNAH_PEERS_LEROBOT", "build/peers-lerobot/bin/python")
    if cell["network"] != "act" or cell["precision"] != "f32" or not os.path.exists(python):
        return None
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer_lerobot.py")
    child = subprocess.Popen([python, script, cell["what"], str(cell["threads"]), str(SECONDS[cell["what"]])], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    version = child.stdout.readline().strip()
    if not version:
        skip("LeRobot: it could not be started")
        return None

    def one_round():
        child.stdin.write("run\n")
        child.stdin.flush()
        return {"ms": json.loads(child.stdout.readline())}
    return one_round, version


def commit():
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip()


def main():
    cell, program, rounds, mode = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    peers = peers_of(cell, mode != "eager")
    if mode == "prepare":  # fills the compiler's cache
        if "PyTorch, compiled" in peers:
            peers["PyTorch, compiled"][0]()
        return
    contenders = {"Mynah": (ours(program, cell), commit())}
    for label, (once, version) in peers.items():
        run = once if cell["what"] != "generate" else lambda once=once: [once() for _ in range(DDIM_STEPS)]
        try:
            run()
            run()
            contenders[label] = (timed(run, SECONDS[cell["what"]]), version)
        except Exception as e:  # a peer may refuse a type or a processor
            skip("%s: %s: %s" % (label, cell["network"], e))
    other = lerobot(cell)
    if other:
        contenders["LeRobot"] = other
    results = {label: {"version": version, "rounds": []} for label, (_, version) in contenders.items()}
    for _ in range(rounds):
        for label, (one_round, _) in contenders.items():
            results[label]["rounds"].append(one_round())
    print(json.dumps(results))


if __name__ == "__main__":
    main()
