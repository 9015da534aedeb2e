# SPDX-License-Identifier: MIT OR Apache-2.0
"""What PyTorch and pycocotools say of small cases: the numbers in tests/support/detection_vectors.h.

Run: pip install torch numpy pycocotools; python tests/support/peer_detection.py > tests/support/detection_vectors.h
Inputs come from formulas over integers (`unit`), which the tests have, too. Assignment and loss are written here from their
definitions over whole matrices of objects and cells, gradients are autograd's, precision is COCOeval's.
"""
import contextlib
import io
import math
import sys

import numpy as np
import torch

from peer_training import unit, words

SIDE, CLASSES = 64, 3
BOXES = [
    [[0, 20, 22, 18, 24], [1, 26, 24, 20, 18], [2, 45.25, 12.75, 5, 6], [1, 40, 40, 40, 36], [-1, 0, 0, 0, 0], [0, 10, 50, 12, 9]],
    [[2, 32, 32, 60, 60], [2, 30, 33, 58, 50], [0, 3, 3, 6, 6], [-1, 0, 0, 0, 0], [-1, 0, 0, 0, 0], [1, 55, 50, 14, 20]],
]
GAIN_BOX, GAIN_CLASS, GAIN_DISTANCE = 7.5, 0.5, 1.5


def cells():
    rows = []
    for size in (8, 16, 32):
        n = SIDE // size
        rows += [[(x + 0.5) * size, (y + 0.5) * size, size] for y in range(n) for x in range(n)]
    return torch.tensor(rows, dtype=torch.float64)


def corners(b):
    return torch.cat([b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2], -1)


def ciou(a, b, eps=1e-7):
    """Complete IoU, and its aspect weight, which is not differentiated."""
    aw, ah = a[..., 2] - a[..., 0], a[..., 3] - a[..., 1] + eps
    bw, bh = b[..., 2] - b[..., 0], b[..., 3] - b[..., 1] + eps
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inter = (high - low).clamp(min=0).prod(-1)
    iou = inter / (aw * ah + bw * bh - inter + eps)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    rho2 = ((b[..., :2] + b[..., 2:] - a[..., :2] - a[..., 2:]) ** 2).sum(-1) / 4
    v = 4 / math.pi**2 * (torch.atan(bw / bh) - torch.atan(aw / ah)) ** 2
    alpha = (v / (v - iou + 1 + eps)).detach()
    return iou - (rho2 / ((hull**2).sum(-1) + eps) + v * alpha), alpha


def assign(boxes, grid, distances, logits, claimed, kept):
    """One picture: owner (A), score (A)."""
    real = [i for i, b in enumerate(boxes.tolist()) if b[0] >= 0]
    objects = boxes[real]
    sizes = sorted(set(grid[:, 2].tolist()))
    wide = objects[:, 1:].clone()
    wide[:, 2:] = torch.where(wide[:, 2:] < sizes[0], torch.tensor(float(sizes[1]), dtype=torch.float64), wide[:, 2:])
    area = corners(wide)[:, None]
    inside = torch.cat([grid[None, :, :2] - area[..., :2], area[..., 2:] - grid[None, :, :2]], -1).amin(-1) > 1e-9
    said = torch.cat([grid[:, :2] - distances[:, :2] * grid[:, 2:], grid[:, :2] + distances[:, 2:] * grid[:, 2:]], -1)
    overlap = ciou(corners(objects[:, 1:])[:, None], said[None])[0].clamp(min=0) * inside
    metric = logits.sigmoid()[:, objects[:, 0].long()].T ** 0.5 * overlap**6 * inside
    chosen = torch.zeros_like(metric)
    chosen.scatter_(1, metric.topk(claimed, dim=1).indices, 1)
    chosen *= inside
    several = chosen.sum(0) > 1
    best = torch.nn.functional.one_hot(overlap.argmax(0), len(real)).T.double()
    chosen = torch.where(several[None], best, chosen)
    if kept < claimed:
        again = torch.zeros_like(metric)
        again.scatter_(1, (metric * chosen).topk(kept, dim=1).indices, 1)
        chosen = chosen * again
    metric = metric * chosen
    score = metric * (overlap * chosen).amax(1, keepdim=True) / (metric.amax(1, keepdim=True) + 1e-9)
    owner = torch.where(score.sum(0) > 0, torch.tensor(real)[chosen.argmax(0)], -1)
    return owner, score.amax(0), said


def detection(claimed, kept):
    grid, boxes = cells(), torch.tensor(BOXES, dtype=torch.float64)
    n = len(grid)
    distances = torch.tensor(1.2 + 0.875 * unit("det.distances", (2, n, 4)), requires_grad=True)
    logits = torch.tensor(2 * unit("det.logits", (2, n, CLASSES)) - 1, requires_grad=True)
    rows, total, scores = [], 0, 0
    for b in range(2):
        with torch.no_grad():
            owner, score, _ = assign(boxes[b], grid, distances[b], logits[b], claimed, kept)
        target = torch.zeros(n, CLASSES, dtype=torch.float64)
        own = owner >= 0
        target[own, boxes[b][owner[own], 0].long()] = score[own]
        total = total + GAIN_CLASS * torch.nn.functional.binary_cross_entropy_with_logits(logits[b], target, reduction="sum")
        g, d, t = grid[own], distances[b][own], corners(boxes[b][owner[own], 1:])
        said = torch.cat([g[:, :2] - d[:, :2] * g[:, 2:], g[:, :2] + d[:, 2:] * g[:, 2:]], -1)
        value, alpha = ciou(said, t)
        edges = torch.cat([g[:, :2] - t[:, :2], t[:, 2:] - g[:, :2]], -1)
        l1 = ((d * g[:, 2:] - edges) / SIDE).abs().mean(-1)
        total = total + (score[own] * (GAIN_BOX * (1 - value) + GAIN_DISTANCE * l1)).sum()
        scores += score.sum()
        rows += [(b, int(a), int(owner[a]), float(score[a]), float(w)) for a, w in zip(own.nonzero()[:, 0], alpha)]
    loss = total / max(float(scores), 1)
    loss.backward()
    return rows, float(loss.detach()), distances.grad, logits.grad


# ---- precision --------------------------------------------------------------------------------------------------------


def pictures():
    """30 pictures, 3 classes: objects, and boxes found near them or anywhere; all numbers are multiples of 1/4."""
    w = words("coco", 30 * 400).tolist()
    at = 0

    def draw(n):
        nonlocal at
        at += 1
        return w[at - 1] % n

    out = []
    for _ in range(30):
        truth, found = [], []
        for _ in range(draw(6)):
            truth.append([draw(3), draw(300) / 4, draw(300) / 4, 8 + draw(160) / 4, 8 + draw(160) / 4])
        for t in truth:
            for _ in range(draw(3)):
                near = [t[1] + (draw(33) - 16) / 4, t[2] + (draw(33) - 16) / 4, max(2, t[3] + (draw(33) - 16) / 4), max(2, t[4] + (draw(33) - 16) / 4)]
                found.append([t[0] if draw(8) else draw(3), *near, draw(64) / 64])
        for _ in range(draw(4)):
            found.append([draw(3), draw(300) / 4, draw(300) / 4, 8 + draw(160) / 4, 8 + draw(160) / 4, draw(64) / 64])
        out.append((truth, found))
    return out


def precision():
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    cases = pictures()
    coco = COCO()
    annotations = [
        {"id": 0, "image_id": i, "category_id": t[0], "bbox": t[1:], "area": t[3] * t[4], "iscrowd": 0}
        for i, (truth, _) in enumerate(cases)
        for t in truth
    ]
    for i, a in enumerate(annotations):
        a["id"] = i + 1
    coco.dataset = {"images": [{"id": i} for i in range(30)], "categories": [{"id": c} for c in range(3)], "annotations": annotations}
    found = [{"image_id": i, "category_id": f[0], "bbox": f[1:5], "score": f[5]} for i, (_, all_) in enumerate(cases) for f in all_]
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        e = COCOeval(coco, coco.loadRes(found), "bbox")
        e.evaluate()
        e.accumulate()
        e.summarize()
    per_class = e.eval["precision"][:, :, :, 0, 2].mean(axis=(0, 1))
    return e.stats[1], e.stats[0], per_class, len(annotations), len(found)


def main():
    put = sys.stdout.write
    put("/* SPDX-License-Identifier: MIT OR Apache-2.0 */\n/* Written by peer_detection.py: results of PyTorch and pycocotools. */\n\n")
    put("typedef struct peer_cell {\n  int picture, cell, box;\n  double score, alpha, slope[4]; /* slope: of the loss by the cell's distances */\n} peer_cell;\n")
    for name, claimed, kept in (("many", 10, 10), ("one", 7, 1)):
        rows, loss, dd, dx = detection(claimed, kept)
        put(f"\nstatic const peer_cell peer_{name}[] = {{\n")
        for b, a, m, score, alpha in rows:
            slopes = ", ".join(f"{float(v):.12g}" for v in dd[b, a])
            put(f"    {{{b}, {a}, {m}, {score:.12g}, {alpha:.12g}, {{{slopes}}}}},\n")
        put(f"}};\nstatic const double peer_{name}_loss = {loss!r};\n")
        put(f"static const double peer_{name}_slopes = {float(dx.abs().sum())!r}; /* sum of |d loss / d logit| */\n")
    map50, map_, per_class, n_truth, n_found = precision()
    put(f"\nstatic const double peer_map50 = {float(map50)!r}, peer_map50_95 = {float(map_)!r};\n")
    put(f"static const double peer_classes[3] = {{{', '.join(repr(float(v)) for v in per_class)}}};\n")
    put(f"static const int peer_n_truth = {n_truth}, peer_n_found = {n_found};\n")


if __name__ == "__main__":
    main()
