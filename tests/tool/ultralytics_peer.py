#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Detectors that ultralytics itself exports, with weights drawn by lot, find the same boxes here as in ONNX Runtime: skipped where
ultralytics is not installed.

Run with MYNAH_PROGRAM set; the Python that runs it, or $MYNAH_PEERS_PYTHON, may have ultralytics and onnxruntime. Nothing is fetched:
networks are built from their descriptions. Boxes are compared within 0.05 px, scores within 1e-4, down to the score of the fiftieth."""
import json
import os
import subprocess

import peer

SIDE = 320
MODELS = [("yolo11n", {}), ("yolov8n", {}), ("yolo26n", {}), ("yolo26n", {"nms": False}),  # nms=False: end to end
          ("yolo26s", {"simplify": True}), ("yolo26m", {"nms": False, "dynamic": True, "simplify": True})]
NEEDED = ["torch", "torchvision", "ultralytics", "onnxruntime", "onnxslim", "cv2"]


def load():
    """A torchvision built for another torch is good enough: nothing that is exported here needs its own operations."""
    import torch
    try:
        import torchvision
    except RuntimeError:
        for op in ("nms", "qnms"):
            torch.library.define("torchvision::" + op, "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    return torchvision


def spread(model):
    """Weights as at the beginning of a training, except that scores differ: the last layer of the classes is stronger, and batch
    norms have seen something."""
    import torch
    torch.manual_seed(1)
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 1.5)
            m.weight.data.uniform_(0.8, 1.6)
            m.bias.data.normal_(0, 0.2)
    head = model.model[-1]
    for name in ("cv3", "one2one_cv3"):
        for branch in getattr(head, name, None) or []:
            branch[-1].weight.data.normal_(0, 0.3)
            branch[-1].bias.data.fill_(-3)


def export(name, options):
    import torch
    from ultralytics import YOLO
    torch.manual_seed(0)
    yolo = YOLO(name + ".yaml", task="detect")
    spread(yolo.model)
    return yolo.export(format="onnx", imgsz=SIDE, verbose=False, **{"simplify": False, **options})


def picture(path, width, height, seed):
    """Coloured blobs: something smooth with edges."""
    import cv2
    import numpy as np
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        cv2.rectangle(image, (x, y), (x + int(rng.integers(8, 90)), y + int(rng.integers(8, 90))), rng.integers(0, 255, 3).tolist(), -1)
    cv2.imwrite(path, image)


def theirs(path, onnx):
    """Boxes as the exported graph gives them, in the picture's pixels, best first: (n,6) x1 y1 x2 y2 score class."""
    import cv2
    import numpy as np
    import onnxruntime
    image = cv2.imread(path)
    h, w = image.shape[:2]
    r = min(SIDE / h, SIDE / w)
    inner = round(w * r), round(h * r)
    dw, dh = (SIDE - inner[0]) / 2, (SIDE - inner[1]) / 2
    if (w, h) != inner:
        image = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR)
    left, top = round(dw - 0.1), round(dh - 0.1)
    image = cv2.copyMakeBorder(image, top, round(dh + 0.1), left, round(dw + 0.1), cv2.BORDER_CONSTANT, value=(114,) * 3)
    x = np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255)
    session = onnxruntime.InferenceSession(onnx)
    y = session.run(None, {session.get_inputs()[0].name: x})[0][0]
    if y.shape[1] != 6:  # (4+classes,A): centre and size, then a score of each class
        boxes, scores = y[:4].T, y[4:].T
        boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
        a, c = np.nonzero(scores > np.sort(scores, axis=None)[-120])
        y = np.concatenate([boxes[a], scores[a, c, None], c[:, None].astype(np.float32)], 1)
    y[:, [0, 2]] = np.clip((y[:, [0, 2]] - left) / r, 0, w)
    y[:, [1, 3]] = np.clip((y[:, [1, 3]] - top) / r, 0, h)
    return y[np.argsort(-y[:, 4], kind="stable")]


def compare(ours, rows):
    """Each of the fifty best of theirs has its equal here. Returns the largest differences, px and score."""
    px = score = 0.0
    for row in rows[:50]:
        same = [b for b in ours if b["class"] == int(row[5])]
        d = min((max(abs(p - q) for p, q in zip(b["xyxy"], row[:4])) + 100 * abs(b["conf"] - row[4]), i) for i, b in enumerate(same)) if same else (1e9, 0)
        b = same[d[1]] if same else {"xyxy": [1e9] * 4, "conf": 9}
        px = max(px, max(abs(p - q) for p, q in zip(b["xyxy"], row[:4])))
        score = max(score, abs(b["conf"] - row[4]))
    return float(px), float(score)


def check(folder):
    program = os.environ["MYNAH_PROGRAM"]
    os.environ.update(YOLO_CONFIG_DIR=folder, YOLO_AUTOINSTALL="false", YOLO_OFFLINE="true")
    load()
    is_good = True
    pictures = []
    for i, (w, h) in enumerate([(SIDE, SIDE), (427, 240), (200, 300)]):
        pictures.append("picture-%d.png" % i)
        picture(pictures[-1], w, h, i)
    for name, options in MODELS:
        onnx, detector = export(name, options), "%s-%s.safetensors" % (name, "-".join(options))
        said = json.loads(subprocess.run([program, "import-model", onnx, "out=" + detector, "--json", "--quiet"], check=True, stdout=subprocess.PIPE).stdout)
        subprocess.run([program, "selfcheck", detector, "--quiet"], check=True)
        for path in pictures:
            rows = theirs(path, onnx)
            j = json.loads(subprocess.run([program, "detect", detector, "source=" + path, "imgsz=%d" % SIDE, "rect=false", "iou=1", "max_det=300",
                                           "conf=%.9g" % (rows[50][4] * 0.999), "--json", "--quiet"], check=True, stdout=subprocess.PIPE).stdout)
            px, score = compare(j["images"][0]["boxes"], rows)
            print("%s %s, %s %s: %s: best score %.3f, fiftieth %.3f; off by %.2g px, %.2g in score"
                  % (name, options, said["detector"], said.get("head"), path, rows[0][4], rows[49][4], px, score), flush=True)
            is_good = is_good and px < 0.05 and score < 1e-4
    return 0 if is_good else 1


peer.run(NEEDED, "ultralytics", check)
