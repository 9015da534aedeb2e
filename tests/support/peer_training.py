# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ten training steps of three networks in PyTorch: the numbers in tests/graph/test_training.c.

Run: pip install torch==2.13.0 numpy; python tests/support/peer_training.py
Every weight and every batch comes from a formula over integers (`unit` below), so no file is needed on either side.
Printed: the ten losses and sums over the final weights in float64, and how far PyTorch's own float32 run is from them.
"""
import math

import numpy as np
import torch
from torch import nn
import torch.distributions as dist

STEPS = 10
M64 = (1 << 64) - 1


def words(name, n):
    """n pseudo-random 64-bit words of a name: FNV-1a of the name as the seed, then the splitmix64 sequence."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & M64
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def unit(name, shape):
    """Numbers in [-1, 1), multiples of 2^-23: exact in float32."""
    w = (words(name, math.prod(shape)) >> np.uint64(40)).astype(np.int64)
    return ((w - (1 << 23)) / float(1 << 23)).reshape(shape)


def picture(name, shape):
    """Bytes."""
    return (words(name, math.prod(shape)) >> np.uint64(56)).astype(np.float64).reshape(shape)


def fill(module):
    """Matrices, filters and biases: unit / sqrt(fan_in), rounded to float32; norms keep ones and zeros; a weight whose
    name contains `down` is zero."""
    fan_in = 1
    for name, p in module.named_parameters():
        if "norm" in name:
            continue
        if p.dim() > 1:
            fan_in = p[0].numel()
        v = np.zeros(p.shape) if "down" in name else unit(name, tuple(p.shape)) / math.sqrt(fan_in)
        with torch.no_grad():
            p.copy_(torch.from_numpy(v.astype(np.float32)).to(p.dtype))


class Mlp(nn.Module):
    """7 -> 256 -> 256 -> 2, ReLU, batch 256."""

    def __init__(self):
        super().__init__()
        self.l0, self.l1, self.l2 = nn.Linear(7, 256), nn.Linear(256, 256), nn.Linear(256, 2)

    def loss(self, s, dtype):
        x = torch.from_numpy(unit(f"mlp.x.{s}", (256, 7))).to(dtype)
        y = torch.from_numpy(unit(f"mlp.y.{s}", (256, 2))).to(dtype)
        h = torch.relu(self.l1(torch.relu(self.l0(x))))
        return nn.functional.mse_loss(self.l2(h), y)


class Cnn(nn.Module):
    """The driving network's five convolutions on a 66 x 66 picture and three linear layers, batch 4."""

    def __init__(self):
        super().__init__()
        sizes = [(3, 24, 5, 2), (24, 36, 5, 2), (36, 48, 5, 2), (48, 64, 3, 1), (64, 64, 3, 1)]
        for k, (n_in, n_out, kernel, stride) in enumerate(sizes):
            setattr(self, f"c{k}", nn.Conv2d(n_in, n_out, kernel, stride))
        self.l0, self.l1, self.l2 = nn.Linear(64, 100), nn.Linear(100, 50), nn.Linear(50, 2)

    def loss(self, s, dtype):
        x = torch.from_numpy(picture(f"cnn.x.{s}", (4, 66, 66, 3))).to(dtype).permute(0, 3, 1, 2)
        y = torch.from_numpy(unit(f"cnn.y.{s}", (4, 2))).to(dtype)
        h = x / 128 - 1
        for k in range(5):
            h = torch.relu(getattr(self, f"c{k}")(h))
        h = torch.relu(self.l1(torch.relu(self.l0(h.flatten(1)))))
        return nn.functional.mse_loss(self.l2(h), y)


class Mixture(nn.Module):
    """Residual trunk (pre-norm, SiLU) with a head of five Gaussians over eight numbers, batch 64."""

    def __init__(self):
        super().__init__()
        self.inp, self.out = nn.Linear(14, 64), nn.Linear(64, 5 + 2 * 40)
        for k in range(2):
            setattr(self, f"norm{k}", nn.LayerNorm(64))
            setattr(self, f"up{k}", nn.Linear(64, 128))
            setattr(self, f"down{k}", nn.Linear(128, 64))
        self.norm = nn.LayerNorm(64)

    def loss(self, s, dtype):
        x = torch.from_numpy(unit(f"gmm.x.{s}", (64, 14))).to(dtype)
        y = torch.from_numpy(unit(f"gmm.y.{s}", (64, 8))).to(dtype)
        h = self.inp(x)
        for k in range(2):
            branch = nn.functional.silu(getattr(self, f"up{k}")(getattr(self, f"norm{k}")(h)))
            h = h + getattr(self, f"down{k}")(branch)
        out = self.out(self.norm(h))
        logits, mean, log_std = out[:, :5], out[:, 5:45].reshape(64, 5, 8), out[:, 45:].reshape(64, 5, 8)
        parts = dist.Independent(dist.Normal(mean, log_std.clamp(-4.6, 2).exp()), 1)
        return -dist.MixtureSameFamily(dist.Categorical(logits=logits), parts).log_prob(y).mean() / 8


def train(make, name, optimizer, dtype):
    model = make().to(dtype)
    fill(model)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    if optimizer == "adamw":
        groups = [{"params": matrices, "weight_decay": 1e-2}, {"params": vectors, "weight_decay": 0.0}]
        opt = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    else:
        opt = torch.optim.SGD(list(model.parameters()), lr=0.05, momentum=0.9, nesterov=True)
    losses = []
    for s in range(STEPS):
        opt.zero_grad()
        loss = model.loss(s, dtype)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    total = sum(p.detach().double().abs().sum().item() for p in model.parameters())
    square = sum((p.detach().double() ** 2).sum().item() for p in model.parameters())
    return losses, total, square


def main():
    torch.manual_seed(0)
    for make, name, optimizer in [(Mlp, "mlp", "adamw"), (Mlp, "mlp", "sgd"), (Cnn, "cnn", "adamw"),
                                  (Cnn, "cnn", "sgd"), (Mixture, "gmm", "adamw")]:
        losses, total, square = train(make, name, optimizer, torch.float64)
        single, single_total, single_square = train(make, name, optimizer, torch.float32)
        print(f"{name} {optimizer}")
        print("  losses      " + ", ".join(f"{v:.10f}" for v in losses))
        print(f"  sum |w|     {total:.10f}")
        print(f"  sum w^2     {square:.10f}")
        worst = max(abs(a - b) / (1 + abs(a)) for a, b in zip(losses, single))
        print(f"  float32 run: losses within {worst:.1e}, sums within {abs(total - single_total) / total:.1e}, "
              f"{abs(square - single_square) / square:.1e} (relative)")


if __name__ == "__main__":
    main()
