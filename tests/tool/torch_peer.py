#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Networks of the size that people train, exported by torch.onnx with weights drawn by lot, act here as in ONNX Runtime: LeRobot's own ACT
and diffusion U-Net (64/128/256) where LeRobot is installed, torchvision's ResNet-18, an LSTM policy. Skipped without torch, onnx and onnxruntime.

Run with MYNAH_PROGRAM set; $MYNAH_PEERS_PYTHON names the Python. Observations are recorded with ONNX Runtime's answers as the actions, and
`mynah eval data=` tells how far ours are from them: at most 1e-3 of the answers' spread, root mean square."""
import json
import math
import os
import subprocess

import peer

NEEDED = ["torch", "torchvision", "onnx", "onnxscript", "onnxruntime"]
EPISODES, FRAMES = 10, 3
KINDS = ["new", "old"]  # by torch.export, by TorchScript


def networks():
    """(name, module, {input: shape without the batch}, outputs, arguments of import-model)"""
    import torch
    import torchvision
    from torch import nn

    class Picture(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torchvision.models.resnet18(weights=None, num_classes=2)

        def forward(self, picture):
            return self.body(picture)

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.lstm, self.last = nn.Linear(9, 64), nn.LSTM(64, 128, 2, batch_first=True), nn.Linear(128, 3)

        def forward(self, state, h, c):
            y, (h, c) = self.lstm(torch.tanh(self.first(state))[:, None], (h, c))
            return self.last(y[:, 0]), h, c

    yield "resnet18", Picture(), {"picture": (3, 224, 224)}, ["action"], []
    yield "lstm", Recurrent(), {"state": (9,), "h": (2, 128), "c": (2, 128)}, ["action", "h_out", "c_out"], ["carry=h:h_out,c:c_out"]
    try:
        from lerobot.configs.types import FeatureType, PolicyFeature
        from lerobot.policies.act.configuration_act import ACTConfig
        from lerobot.policies.act.modeling_act import ACT
        from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
        from lerobot.policies.diffusion.modeling_diffusion import DiffusionConditionalUnet1d
    except ImportError as e:
        print("LeRobot's networks are left out: %s" % e)
        return
    state, action = PolicyFeature(type=FeatureType.STATE, shape=(14,)), PolicyFeature(type=FeatureType.ACTION, shape=(14,))
    camera = PolicyFeature(type=FeatureType.VISUAL, shape=(3, 480, 640))

    class Act(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = ACT(ACTConfig(input_features={"observation.state": state, "observation.images.top": camera}, output_features={"action": action},
                                      pretrained_backbone_weights=None))

        def forward(self, state, picture):
            return self.body({"observation.state": state, "observation.images": [picture]})[0]

    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            config = DiffusionConfig(down_dims=(64, 128, 256), input_features={"observation.state": PolicyFeature(type=FeatureType.STATE, shape=(2,))},
                                     output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=(2,))})
            self.body = DiffusionConditionalUnet1d(config, global_cond_dim=40)

        def forward(self, sample, step, seen):
            return self.body(sample.reshape(1, 16, 2), step[:, 0] * 100, seen)

    yield "act", Act(), {"state": (14,), "picture": (3, 480, 640)}, ["action"], []
    yield "unet", Denoiser(), {"sample": (32,), "step": (1,), "seen": (40,)}, ["action"], []


def export(name, module, shapes, outputs, kind):
    import torch
    torch.manual_seed(2)
    for m in module.modules():
        if isinstance(m, torch.nn.BatchNorm2d) or type(m).__name__ == "FrozenBatchNorm2d":
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 2)
    module.eval()
    path = "%s-%s.onnx" % (name, kind)
    # h and c of an LSTM have the layers first, the batch second.
    given = tuple(torch.randn(s[0], 1, s[1]) if k in ("h", "c") else torch.rand(1, *s) for k, s in shapes.items())
    common = {"input_names": list(shapes), "output_names": outputs}
    if kind == "new":
        torch.onnx.export(module, given, path, dynamo=True, external_data=False, verbose=False, **common)
    else:
        torch.onnx.export(module, given, path, dynamo=False, opset_version=17, **common)
    return path


def record(path, shapes):
    """Random observations with ONNX Runtime's answers: the chunk of an episode's first frame, or step for step with what is carried."""
    import numpy as np
    import onnxruntime
    session = onnxruntime.InferenceSession(path)
    rng = np.random.default_rng(3)
    rows = {k: [] for k in shapes if k not in ("h", "c")}
    actions = []
    for _ in range(EPISODES):
        carried = {k: np.zeros((shapes[k][0], 1, shapes[k][1]), np.float32) for k in ("h", "c") if k in shapes}
        chunk = None
        for t in range(FRAMES):
            feed = dict(carried)
            for k in rows:
                if len(shapes[k]) == 3:
                    rows[k].append(rng.integers(0, 256, (*shapes[k][1:], 3), dtype=np.uint8))
                    feed[k] = (rows[k][-1].astype(np.float32) / 255).transpose(2, 0, 1)[None].copy()
                else:
                    rows[k].append(rng.uniform(-1, 1, shapes[k]).astype(np.float32))
                    feed[k] = rows[k][-1][None]
            if carried or chunk is None or chunk.ndim == 1:
                out = session.run(None, feed)
                chunk = out[0][0]
                carried = dict(zip(carried, out[1:]))
            actions.append(chunk if chunk.ndim == 1 else chunk[t])
    names = {k: ("observation.images." if len(shapes[k]) == 3 else "observation.") + k for k in rows}
    np.savez("data.npz", action=np.stack(actions), episode_ends=np.arange(1, EPISODES + 1) * FRAMES, **{names[k]: np.stack(v) for k, v in rows.items()})
    return names, np.stack(actions)


def check(folder):
    program, is_good = os.environ["MYNAH_PROGRAM"], True

    def mynah(*arguments):
        done = subprocess.run([program, *arguments, "--json", "--quiet"], stdout=subprocess.PIPE)
        return json.loads(done.stdout) if done.returncode == 0 else None

    for name, module, shapes, outputs, more in networks():
        for kind in KINDS:
            path = export(name, module, shapes, outputs, kind)
            names, actions = record(path, shapes)
            policy, data = "%s-%s.safetensors" % (name, kind), "%s-%s.demos" % (name, kind)
            pairs = ",".join("%s:%s" % pair for pair in names.items())
            done = mynah("import", "npz", "data.npz", "out=" + data) and mynah("import-model", path, "out=" + policy, "map=" + pairs, *more)
            j = done and mynah("selfcheck", policy) and mynah("eval", policy, "data=" + data)
            if not j:
                is_good = False
                continue
            errors = [math.sqrt(v["mse"]) for v in j.values() if isinstance(v, dict) and "mse" in v]
            share = max(errors) / max(float(actions.std(0).max()), 1e-6)
            print("%s (%s): %d parameters, %d numbers an action, off by %.2g of their spread" % (name, kind, done.get("parameters", 0), len(errors), share), flush=True)
            is_good = is_good and len(errors) == actions.shape[1] and share < 1e-3
    return 0 if is_good else 1


peer.run(NEEDED, "torch, torchvision, onnx, onnxscript or onnxruntime", check)
