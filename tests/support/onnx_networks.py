#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Exports small networks from PyTorch to ONNX, each with an input and what PyTorch makes of it, for tests/onnx/test_lower.c.

usage: onnx_networks.py OUT_FOLDER [large]

Writes NAME.onnx and NAME.safetensors (tensors "in.X", "out.Y"). The small ones lie in tests/onnx/networks; `large` makes the
networks that people train (ResNet-18, ACT, U-Net, detector heads), too large to keep, from random weights; the test reads
them from the folder that the variable MYNAH_ONNX_NETWORKS names. Needs torch, onnx and onnxscript."""
import json
import math
import os
import struct
import sys

import numpy
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F


def save_tensors(path, tensors):
    header, data = {}, b""
    for name, a in tensors.items():
        a = numpy.ascontiguousarray(a, dtype=numpy.float32).reshape(a.shape if a.ndim else (1,))
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [len(data), len(data) + a.nbytes]}
        data += a.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def export(folder, name, model, inputs, outputs=("out",), kinds=("old", "new"), opset=17, notes=(), **options):
    """inputs: {name: tensor}. The old exporter traces TorchScript, the new one torch.export. notes: metadata."""
    torch.manual_seed(len(name))
    model.eval()
    with torch.no_grad():
        results = model(*inputs.values())
    results = results if isinstance(results, tuple) else (results,)
    for kind in kinds:
        path = os.path.join(folder, "%s-%s.onnx" % (name, kind))
        common = {"input_names": list(inputs), "output_names": list(outputs), **options}
        if kind == "old":
            torch.onnx.export(model, tuple(inputs.values()), path, opset_version=opset, dynamo=False, **common)
        else:
            torch.onnx.export(model, tuple(inputs.values()), path, opset_version=18, dynamo=True, external_data=False, verbose=False, **common)
        m = onnx.load(path)
        for n in m.graph.node:
            n.doc_string = ""
            del n.metadata_props[:]
        del m.graph.value_info[:]
        del m.graph.metadata_props[:]
        helper.set_model_props(m, dict(notes))
        onnx.save(m, path)
        tensors = {"in." + k: v.numpy() for k, v in inputs.items()}
        tensors.update({"out." + k: v.numpy() for k, v in zip(outputs, results)})
        save_tensors(path[:-5] + ".safetensors", tensors)


def by_hand(folder, name, nodes, inputs, outputs, constants=(), opset=18):
    """A graph written node by node, with what ONNX Runtime makes of it."""
    import onnxruntime
    graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in inputs.items()],
                              [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in outputs],
                              [numpy_helper.from_array(v, k) for k, v in dict(constants).items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    path = os.path.join(folder, name + ".onnx")
    onnx.save(model, path)
    results = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(outputs, inputs)
    tensors = {"in." + k: v for k, v in inputs.items()}
    tensors.update({"out." + k: v for k, v in zip(outputs, results)})
    save_tensors(path[:-5] + ".safetensors", tensors)


# ---- networks --------------------------------------------------------------------------------------------------------------


class Pointwise(nn.Module):
    def forward(self, x):
        y = F.gelu(x) + F.elu(x) * F.softplus(x) - F.hardswish(x) + F.leaky_relu(x, 0.2) / (1 + x.abs())
        y = y + torch.erf(x) + (x.clamp(-0.5, 0.5) ** 3) + torch.exp(-x * x) + torch.log(1 + x * x) + torch.sqrt(x * x + 1) - (-x)
        y = y + torch.where(x > 0.1, x, 0.5 * x) + torch.minimum(x, y) + torch.maximum(x, 0.3 * y) + F.silu(x) + F.hardsigmoid(x) + F.selu(x)
        return y + torch.floor(x * 3) + (x == x).float() + torch.sin(x) * torch.cos(x) + F.gelu(x, approximate="tanh") + x.sign() + x.pow(2.5).nan_to_num(0)


class Shapes(nn.Module):
    def forward(self, x):  # (1,6,4)
        b, t, c = x.shape
        y = x.reshape(b, t * c // 8, 8).transpose(1, 2)
        y = torch.cat([y, y.flip(1), y[:, ::2].repeat(1, 2, 1)], 1)
        a, d = y.split([8, y.shape[1] - 8], 1)
        y = torch.stack([a[:, :, 0], d.mean(1)[:, :1].expand(-1, 8)], 1)[:, :, torch.tensor([3, 1, 1, 0])]
        y = F.pad(y, (1, 2), value=0.5) + torch.arange(7, dtype=torch.float32)
        z = torch.einsum("bij,bkj->bik", y, y) + y.sum((1, 2), keepdim=True) + y.amax(2, keepdim=True) - y.amin(1).mean()
        return torch.cat([z.flatten(1), torch.log_softmax(y, 1).flatten(1), torch.softmax(y, 2).flatten(1)], 1)[0]


class Pictures(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.b = nn.Conv2d(8, 8, 3, 1, (2, 1), dilation=(2, 1), groups=4, padding_mode="zeros")
        self.c = nn.ConvTranspose2d(8, 6, 4, 2, 1)
        self.group = nn.GroupNorm(2, 6)
        self.instance = nn.InstanceNorm2d(6, affine=True)
        self.fc = nn.Linear(6 * 4 + 6, 2)
        nn.init.normal_(self.norm.running_mean, 0, 0.1)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        nn.init.normal_(self.group.weight)

    def forward(self, x):
        y = F.relu(self.norm(self.a(x)))
        y = torch.cat([self.b(y), F.max_pool2d(y, 3, 1, 1)], 1)[:, 4:12]
        y = F.interpolate(self.instance(F.silu(self.group(self.c(y)))), scale_factor=0.5, mode="bilinear", align_corners=False)
        y = F.avg_pool2d(F.pad(y, (1, 1, 1, 1), mode="reflect"), 2) + F.interpolate(y[:, :, :3, :3], size=(5, 5), mode="nearest")
        z = F.interpolate(y, scale_factor=2, mode="nearest")
        return torch.tanh(self.fc(torch.cat([F.avg_pool2d(z[:, :, :8, :8], 4).flatten(1), y.mean((2, 3))], 1)))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, 2, batch_first=True)
        self.gru = nn.GRU(4, 3, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(6, 2)

    def forward(self, x, h, c):
        y, (h, c) = self.lstm(x, (h, c))
        z, _ = self.gru(y)
        return self.fc(z[:, -1]), h, c


class Attention(nn.Module):
    def __init__(self, width=8, heads=2, layers=1):
        super().__init__()
        self.inner = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, heads, 2 * width, 0.0, batch_first=True), layers, enable_nested_tensor=False)
        self.position = nn.Embedding(6, width)
        self.fc = nn.Linear(width, 2)

    def forward(self, x):
        n = x.shape[1]
        x = x + self.position(torch.arange(n))
        mask = torch.triu(torch.full((n, n), float("-inf")), 1)
        x = self.inner(x, mask, is_causal=False)
        q = x.unflatten(2, (2, -1)).transpose(1, 2)
        return self.fc(x + F.scaled_dot_product_attention(q, q, q).transpose(1, 2).flatten(2))


def mlp():
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.LayerNorm(16), nn.Linear(16, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 2))


class Block1d(nn.Module):
    def __init__(self, n_in, n_out, n_condition, kernel=5):
        super().__init__()
        self.a = nn.Sequential(nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2), nn.GroupNorm(2, n_out), nn.Mish())
        self.b = nn.Sequential(nn.Conv1d(n_out, n_out, kernel, padding=kernel // 2), nn.GroupNorm(2, n_out), nn.Mish())
        self.condition = nn.Sequential(nn.Mish(), nn.Linear(n_condition, 2 * n_out), nn.Unflatten(-1, (-1, 1)))
        self.skip = nn.Conv1d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x, c):
        scale, shift = self.condition(c).chunk(2, 1)
        return self.b(self.a(x) * scale + shift) + self.skip(x)


class UNet(nn.Module):
    """One step of a diffusion policy's network: noisy actions (B,T,A), time step (B), observations (B,O)."""

    def __init__(self, n_action, n_observation, widths):
        super().__init__()
        self.n_embedding = 2 * widths[0]
        self.step = nn.Sequential(nn.Linear(self.n_embedding, 4 * widths[0]), nn.Mish(), nn.Linear(4 * widths[0], self.n_embedding))
        n = self.n_embedding + n_observation
        self.down1, self.down2 = Block1d(n_action, widths[0], n), Block1d(widths[0], widths[1], n)
        self.shrink = nn.Conv1d(widths[0], widths[0], 3, 2, 1)
        self.middle = Block1d(widths[1], widths[1], n)
        self.up = Block1d(2 * widths[1], widths[0], n)
        self.grow = nn.ConvTranspose1d(widths[0], widths[0], 4, 2, 1)
        self.last = nn.Conv1d(2 * widths[0], n_action, 1)

    def forward(self, x, step, seen):
        half = self.n_embedding // 2
        waves = step[:, None].float() * torch.exp(torch.arange(half) * -(math.log(10000) / (half - 1)))[None]
        c = torch.cat([self.step(torch.cat([waves.sin(), waves.cos()], -1)), seen], -1)
        x = x.transpose(1, 2)
        a = self.down1(x, c)
        b = self.down2(self.shrink(a), c)
        y = self.up(torch.cat([self.middle(b, c), b], 1), c)
        return self.last(torch.cat([self.grow(y), a], 1)).transpose(1, 2)


class Detector(nn.Module):
    """The head of YOLOv8 and YOLO11 on a small trunk: distributions of edges, softmax, anchors, (1,4+classes,A)."""

    def __init__(self, n_classes=3, width=8, edges=16):
        super().__init__()
        self.n_classes, self.edges = n_classes, edges
        conv = lambda a, b, s: nn.Sequential(nn.Conv2d(a, b, 3, s, 1), nn.SiLU())
        self.stem = nn.Sequential(conv(3, width, 2), conv(width, width, 2), conv(width, width, 2))
        self.deep = conv(width, width, 2)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.boxes = nn.ModuleList(nn.Conv2d(width, 4 * edges, 1) for _ in range(2))
        self.classes = nn.ModuleList(nn.Conv2d(width, n_classes, 1) for _ in range(2))

    def forward(self, x):
        a = self.stem(x)
        b = self.pool(self.deep(a))
        levels = [a + F.interpolate(b, scale_factor=2), b]
        rows = torch.cat([torch.cat([self.boxes[i](f), self.classes[i](f)], 1).flatten(2) for i, f in enumerate(levels)], 2)
        box, score = rows.split((4 * self.edges, self.n_classes), 1)
        n = box.shape[2]
        box = box.view(1, 4, self.edges, n).transpose(2, 1).softmax(1)
        box = F.conv2d(box, torch.arange(self.edges, dtype=torch.float32).view(1, self.edges, 1, 1)).view(1, 4, n)
        centres, strides = [], []
        for f, s in zip(levels, (8, 16)):
            h, w = f.shape[2:]
            y, x_ = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
            centres.append(torch.stack((x_, y), 0).view(2, -1))
            strides.append(torch.full((1, h * w), float(s)))
        centre, stride = torch.cat(centres, 1)[None], torch.cat(strides, 1)
        low, high = centre - box[:, :2], centre + box[:, 2:]
        return torch.cat((torch.cat(((low + high) / 2, high - low), 1) * stride, score.sigmoid()), 1)


class BasicBlock(nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out)
        self.conv2, self.bn2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out)
        self.down = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)) if stride > 1 else nn.Identity()

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.down(x))


def resnet18():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for n_in, n_out, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        layers += [BasicBlock(n_in, n_out, stride), BasicBlock(n_out, n_out, 1)]
    return nn.Sequential(*layers)


class ACT(nn.Module):
    """Action chunking with transformers, acting: latent of zeros, a camera, a state."""

    def __init__(self, n_state=6, n_action=6, chunk=20, width=64):
        super().__init__()
        self.backbone, self.chunk, self.width = resnet18(), chunk, width
        self.project, self.state, self.latent = nn.Conv2d(512, width, 1), nn.Linear(n_state, width), nn.Linear(8, width)
        layer = lambda kind: kind(width, 4, 4 * width, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer(nn.TransformerEncoderLayer), 2, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(layer(nn.TransformerDecoderLayer), 1)
        self.position, self.query, self.head = nn.Embedding(2, width), nn.Embedding(chunk, width), nn.Linear(width, n_action)

    def forward(self, state, picture):
        mean, std = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        f = self.project(self.backbone((picture - mean) / std)).flatten(2).transpose(1, 2)
        latent = self.latent(torch.zeros(state.shape[0], 8))
        x = torch.cat([torch.stack([latent, self.state(state)], 1) + self.position.weight[None], f], 1)
        queries = self.query.weight[None].expand(state.shape[0], -1, -1)
        return self.head(self.decoder(queries, self.encoder(x)))


def calm(model):
    """Statistics of batch norms off their start, so that they matter."""
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.running_mean, 0, 0.1)
            nn.init.uniform_(m.running_var, 0.5, 2)
    return model


def main():
    folder, is_large = sys.argv[1], "large" in sys.argv[2:]
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(1)
    r = torch.randn
    if is_large:
        export(folder, "resnet18", calm(resnet18()), {"picture": r(1, 3, 64, 96)})
        export(folder, "act", calm(ACT()), {"state": r(1, 6), "picture": torch.rand(1, 3, 64, 96)})
        export(folder, "unet", UNet(6, 20, (64, 128)), {"sample": r(1, 16, 6), "step": torch.tensor([37.0]), "seen": r(1, 20)})
        export(folder, "detector", Detector(80, 32), {"images": torch.rand(1, 3, 96, 128)})
        return
    export(folder, "mlp", mlp(), {"observation.state": r(1, 4)}, ("action",))
    export(folder, "pointwise", Pointwise(), {"x": r(1, 3, 5)})
    export(folder, "shapes", Shapes(), {"x": r(1, 6, 4)})
    export(folder, "pictures", Pictures(), {"x": r(1, 3, 16, 16)})
    export(folder, "recurrent", Recurrent(), {"x": r(1, 3, 3), "h": r(2, 1, 4), "c": r(2, 1, 4)}, ("out", "h_out", "c_out"), kinds=("old",))
    export(folder, "attention", Attention(), {"x": r(1, 5, 8)})
    export(folder, "unet", UNet(2, 3, (4, 8)), {"sample": r(1, 8, 2), "step": torch.tensor([37.0]), "seen": r(1, 3)}, kinds=("new",))
    export(folder, "detector", Detector(3, 4, 4), {"images": torch.rand(1, 3, 32, 48)}, kinds=("old",),
           notes={"task": "detect", "names": "{0: 'ball', 1: 'cone', 2: 'car'}"})
    n = helper.make_node
    x = numpy.random.default_rng(1).standard_normal((1, 4, 6)).astype(numpy.float32)
    by_hand(folder, "hand", [
        n("GroupNormalization", ["x", "g", "b"], ["a"], num_groups=2), n("Resize", ["a", "", "s"], ["c"], mode="linear"),
        n("Pad", ["c", "p"], ["d"], mode="edge"),
        n("LayerNormalization", ["x", "w"], ["e"], axis=1), n("ReduceL2", ["d", "axis"], ["f"], keepdims=0),
        n("Tile", ["f", "t"], ["h"]), n("HardSigmoid", ["e"], ["i"], alpha=0.3), n("ReduceMax", ["i", "axis"], ["j"]), n("PRelu", ["x", "slope"], ["k"]),
        n("Sum", ["j", "k", "i"], ["l"]), n("Flatten", ["l"], ["m"]), n("Concat", ["h", "m"], ["out"], axis=1)], {"x": x}, ["out"], {
        "g": numpy.array([0.5, 2], numpy.float32), "b": numpy.array([1, -1], numpy.float32), "s": numpy.array([1, 1, 1.5], numpy.float32),
        "p": numpy.array([0, 0, 2, 0, 0, 1]), "w": numpy.linspace(0.5, 1.5, 24, dtype=numpy.float32).reshape(4, 6), "axis": numpy.array([2]),
        "t": numpy.array([1, 3]), "slope": numpy.array([[0.1], [0.2], [0.3], [0.4]], numpy.float32)})
    by_hand(folder, "sums", [
        n("CumSum", ["x", "one"], ["a"]), n("CumSum", ["x", "last"], ["b"], reverse=1, exclusive=1), n("CumSum", ["k", "last"], ["c"], exclusive=1),
        n("CumSum", ["k", "zero"], ["d"], reverse=1), n("Cast", ["c"], ["e"], to=1), n("Cast", ["d"], ["f"], to=1), n("Sum", ["a", "b", "e", "f"], ["out"])],
        {"x": x}, ["out"], {"one": numpy.array(1), "last": numpy.array(-1), "zero": numpy.array(0), "k": numpy.arange(24).reshape(1, 4, 6)})
    by_hand(folder, "lstm", [n("LSTM", ["x", "w", "r", "b"], ["y", "", "c"], hidden_size=3, direction="bidirectional"),
                             n("Transpose", ["y"], ["z"], perm=[2, 0, 3, 1]), n("Reshape", ["z", "s"], ["out"])], {"x": x}, ["out", "c"], {
        "w": numpy.random.default_rng(2).standard_normal((2, 12, 6)).astype(numpy.float32) * 0.4,
        "r": numpy.random.default_rng(3).standard_normal((2, 12, 3)).astype(numpy.float32) * 0.4,
        "b": numpy.random.default_rng(4).standard_normal((2, 24)).astype(numpy.float32) * 0.4, "s": numpy.array([4, -1])})


main()
