# SPDX-License-Identifier: MIT OR Apache-2.0
"""Times PyTorch, ONNX Runtime and OpenVINO beside bench_kernels on the same networks, interleaved, and prints ratios.

Run: pip install torch==2.13.0 onnxruntime openvino onnx numpy
     python bench/peer_engine.py BUILD/bench/bench_kernels [rounds] [network …]
A peer that is not installed is left out and named. Each round times every program once; medians over rounds are shown.
ONLY=train or ONLY=infer measures that alone.
Training: one step with AdamW, batch 256 (mlp, mlp1024, unet64, unet256), 512 (pusht), 64 (cnn), 8 (act, resnet18); ours also sums two shards,
takes the gradient's norm and updates a moving average. Inference: batch 1; YOLO26n as its authors' exporter writes it, from ../shared.
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
    import torch
    from torch import nn
    from peer_networks import ACT, UNet, resnet18_classes
except ImportError as e:
    sys.exit(f"peer_engine: {e}: see the first lines of this file")


class Residual(nn.Module):
    """The mixture recipe: trunk 256/512, three blocks, five Gaussians over 32 numbers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(12, 256)
        self.norms = nn.ModuleList(nn.LayerNorm(256) for _ in range(3))
        self.up = nn.ModuleList(nn.Linear(256, 512) for _ in range(3))
        self.down = nn.ModuleList(nn.Linear(512, 256) for _ in range(3))
        self.last_norm = nn.LayerNorm(256)
        self.out = nn.Linear(256, 325)

    def forward(self, x):
        h = self.first(x + 0.01 * torch.randn_like(x) if self.training else x)
        for norm, up, down in zip(self.norms, self.up, self.down):
            h = h + down(nn.functional.silu(up(norm(h))))
        return self.out(self.last_norm(h))


def mixture_loss(y, target):
    logits, mean, spread = y[:, :5], y[:, 5:165].view(-1, 5, 32), y[:, 165:].view(-1, 5, 32).clamp(-4.6, 2)
    z = (target[:, None] - mean) * torch.exp(-spread)
    log_normal = (-0.5 * z * z - spread - 0.9189385332046727).sum(-1)
    return -torch.logsumexp(torch.log_softmax(logits, 1) + log_normal, 1).mean() / 32


def mlp(width=256):
    return nn.Sequential(nn.Linear(7, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))


def mlp1024():
    return mlp(1024)


def cnn():
    sizes, layers = [(3, 24, 5, 2), (24, 36, 5, 2), (36, 48, 5, 2), (48, 64, 3, 1), (64, 64, 3, 1)], []
    for c, o, k, s in sizes:
        layers += [nn.Conv2d(c, o, k, s), nn.ReLU()]
    layers += [nn.Flatten()]
    for c, o in [(1152, 100), (100, 50), (50, 10)]:
        layers += [nn.Linear(c, o), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(10, 1))


def by_target(loss):
    """A loss of the network's output and a target, as a function of the model and all tensors."""
    return lambda model, *tensors: loss(model(*tensors[:-1]), tensors[-1])


def unet64():
    return UNet((64, 128, 256))


def unet256():
    return UNet((256, 512, 1024))


mse = by_target(nn.functional.mse_loss)
UNET = ((16, 2), (128,), (132,))
# name: network, shapes of the inputs without batch, of what training adds or puts in place of the last, batch, loss
NETWORKS = {
    "mlp": (mlp, ((7,),), ((7,), (2,)), 256, mse),
    "mlp1024": (mlp1024, ((7,),), ((7,), (2,)), 256, mse),
    "pusht": (Residual, ((12,),), ((12,), (32,)), 512, by_target(mixture_loss)),
    "cnn": (cnn, ((3, 66, 200),), ((3, 66, 200), (1,)), 64, mse),
    "unet64": (unet64, UNET, UNET + ((16, 2),), 256, mse),
    "unet256": (unet256, UNET, UNET + ((16, 2),), 256, mse),
    "act": (ACT, ((3, 480, 640), (14,), (32,)), ((3, 480, 640), (14,), (100, 14)), 8, lambda model, *t: model.loss(*t)),
    "resnet18": (resnet18_classes, ((3, 224, 224),), ((3, 224, 224), (1000,)), 8, mse),
}
# Inference alone, from a file: shapes of the inputs.
SHARED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shared", "goldens", "yolo26")
FILES = {
    "yolo640": (os.path.join(SHARED, "yolo26n_640_e2e.onnx"), ((3, 640, 640),)),
    "yolo320": (os.path.join(SHARED, "yolo26n_320_raw.onnx"), ((3, 320, 320),)),
}


def milliseconds(run, seconds=0.6):
    """Median time of one call."""
    run()
    run()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e3


def torch_training(name, threads, layout):
    build, _, shapes, batch, loss = NETWORKS[name]
    model = build().train()
    tensors = [torch.randn(batch, *shape) for shape in shapes]
    if len(shapes[0]) == 3:
        model, tensors[0] = model.to(memory_format=layout), tensors[0].to(memory_format=layout)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)

    def step():
        torch.set_num_threads(threads)
        optimiser.zero_grad(set_to_none=True)
        loss(model, *tensors).backward()
        optimiser.step()

    return step


def exported(name, model, tensors):
    """The path of the network as ONNX, and the names of its inputs; None when it cannot be written."""
    path = os.path.join(tempfile.mkdtemp(), name + ".onnx")
    try:
        torch.onnx.export(model, tensors, path, input_names=["x%d" % i for i in range(len(tensors))], dynamo=False)
    except Exception as e:  # the exporter needs the onnx package
        print(f"left out: ONNX Runtime, OpenVINO: {e}")
        return None
    return path


def inference_peers(name, threads):
    """name of peer -> function that runs one forward pass."""
    peers = {}
    if name in FILES:
        path, shapes = FILES[name]
        tensors = tuple(torch.randn(1, *shape) for shape in shapes)
        if not os.path.exists(path):
            print(f"left out: {name}: no file {path}")
            return peers
    else:
        build, shapes, _, _, _ = NETWORKS[name]
        model, tensors = build().eval(), tuple(torch.randn(1, *shape) for shape in shapes)

        def eager():
            torch.set_num_threads(threads)
            with torch.inference_mode():
                model(*tensors)

        peers["PyTorch"] = eager
        path = exported(name, model, tensors)
    if not path:
        return peers
    try:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feed = {i.name: x.numpy() for i, x in zip(session.get_inputs(), tensors)}
        peers["ONNX Runtime"] = lambda: session.run(None, feed)
    except ImportError as e:
        print(f"left out: {e}")
    try:
        import openvino as ov

        config = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        request = ov.Core().compile_model(path, "CPU", config).create_infer_request()
        for i, x in enumerate(tensors):
            request.set_input_tensor(i, ov.Tensor(np.ascontiguousarray(x.numpy())))
        peers["OpenVINO"] = request.infer
    except ImportError as e:
        print(f"left out: {e}")
    return peers


def ours(binary, name, what):
    """What bench_kernels prints: threads -> milliseconds of a training step, or of inference."""
    text = subprocess.run([binary, name, what], check=True, capture_output=True, text=True).stdout
    if what == "train":
        return {int(t): float(ms) for t, ms in re.findall(r"threads (\d): ([\d.]+) ms", text)}
    return {int(t): float(us) * 1e-3 for t, us in re.findall(r"threads (\d) batch 1: ([\d.]+) us", text)}


def training_peers(name):
    """threads -> functions that run one step."""
    steps = {}
    for threads in (1, 2) if name in NETWORKS else ():
        steps[threads] = [torch_training(name, threads, torch.contiguous_format)]
        if name in ("cnn", "act", "resnet18"):
            steps[threads].append(torch_training(name, threads, torch.channels_last))
    return steps


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    what = os.environ.get("ONLY", "train infer").split()
    binary, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    for name in sys.argv[3:] or [*NETWORKS, *FILES]:
        steps = training_peers(name) if "train" in what else {}
        peers = {threads: inference_peers(name, threads) if "infer" in what else {} for threads in (1, 2)}
        table = {}
        for _ in range(rounds):
            for threads, ms in ours(binary, name, "train").items() if steps else ():
                table.setdefault(f"train, {threads} threads: ours", []).append(ms)
                best = min(milliseconds(s) for s in steps[threads])
                table.setdefault(f"train, {threads} threads: PyTorch", []).append(best)
            for threads, ms in ours(binary, name, "infer").items() if "infer" in what else ():
                table.setdefault(f"infer, {threads} threads: ours", []).append(ms)
                for peer, run in peers[threads].items():
                    table.setdefault(f"infer, {threads} threads: {peer}", []).append(milliseconds(run, 0.3))
        for row, values in table.items():
            own = statistics.median(table[row.split(":")[0] + ": ours"])
            ms = statistics.median(values)
            print(f"{name:8} {row:32} {ms:10.4f} ms   theirs / ours {ms / own:5.2f}", flush=True)


if __name__ == "__main__":
    main()
