# SPDX-License-Identifier: MIT OR Apache-2.0
"""The networks of bench_kernels in PyTorch, with the same shapes, and the table of them all at the end."""
import os

import torch
from torch import nn
from torch.nn import functional as F


class FilmBlock(nn.Module):
    def __init__(self, n_in, n_out, condition):
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(n_in, n_out, 5, padding=2), nn.GroupNorm(8, n_out), nn.Mish())
        self.second = nn.Sequential(nn.Conv1d(n_out, n_out, 5, padding=2), nn.GroupNorm(8, n_out), nn.Mish())
        self.film = nn.Sequential(nn.Mish(), nn.Linear(condition, 2 * n_out))
        self.skip = nn.Conv1d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x, condition):
        scale, shift = self.film(condition).unsqueeze(-1).chunk(2, 1)
        return self.second(scale * self.first(x) + shift) + self.skip(x)


class UNet(nn.Module):
    """16 actions of two numbers, 128 waves of the step, 132 numbers seen; inputs (B,16,2), (B,128), (B,132)."""

    def __init__(self, widths):
        super().__init__()
        c, w = 128 + 132, widths
        self.step = nn.Sequential(nn.Linear(128, 512), nn.Mish(), nn.Linear(512, 128))
        self.down = nn.ModuleList([FilmBlock(2, w[0], c), FilmBlock(w[0], w[0], c), FilmBlock(w[0], w[1], c),
                                   FilmBlock(w[1], w[1], c), FilmBlock(w[1], w[2], c), FilmBlock(w[2], w[2], c)])
        self.shrink = nn.ModuleList([nn.Conv1d(w[0], w[0], 3, 2, 1), nn.Conv1d(w[1], w[1], 3, 2, 1)])
        self.middle = nn.ModuleList([FilmBlock(w[2], w[2], c), FilmBlock(w[2], w[2], c)])
        self.up = nn.ModuleList([FilmBlock(2 * w[2], w[1], c), FilmBlock(w[1], w[1], c), FilmBlock(2 * w[1], w[0], c),
                                 FilmBlock(w[0], w[0], c)])
        self.grow = nn.ModuleList([nn.ConvTranspose1d(w[1], w[1], 4, 2, 1), nn.ConvTranspose1d(w[0], w[0], 4, 2, 1)])
        self.out = nn.Sequential(nn.Conv1d(w[0], w[0], 5, padding=2), nn.GroupNorm(8, w[0]), nn.Mish(), nn.Conv1d(w[0], 2, 1))

    def forward(self, x, step, seen):
        condition, skips = torch.cat([self.step(step), seen], 1), []
        x = x.transpose(1, 2)
        for level in range(3):
            x = self.down[2 * level + 1](self.down[2 * level](x, condition), condition)
            skips.append(x)
            x = self.shrink[level](x) if level < 2 else x
        for block in self.middle:
            x = block(x, condition)
        for level in range(2):
            x = torch.cat([x, skips.pop()], 1)
            x = self.grow[level](self.up[2 * level + 1](self.up[2 * level](x, condition), condition))
        return self.out(x).transpose(1, 2)


class FrozenNorm(nn.Module):
    def __init__(self, n):
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("mean", 0.0), ("var", 1.0)):
            self.register_buffer(name, torch.full((1, n, 1, 1), value))

    def forward(self, x):
        scale = self.weight * (self.var + 1e-5).rsqrt()
        return x * scale + (self.bias - self.mean * scale)


class BasicBlock(nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), FrozenNorm(n_out))
        self.second = nn.Sequential(nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), FrozenNorm(n_out))
        self.skip = nn.Identity()
        if stride != 1:
            self.skip = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), FrozenNorm(n_out))

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.skip(x))


def resnet18():
    layers, n_in = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), FrozenNorm(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for n_out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [BasicBlock(n_in, n_out, stride), BasicBlock(n_out, n_out, 1)]
        n_in = n_out
    return nn.Sequential(*layers)


def resnet18_classes():
    return nn.Sequential(*resnet18(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


class Layer(nn.Module):
    """Encoder layer, or decoder layer when it is given a memory; positions are added to queries and keys."""

    def __init__(self, is_decoder):
        super().__init__()
        self.own = nn.MultiheadAttention(512, 8)
        self.cross = nn.MultiheadAttention(512, 8) if is_decoder else None
        self.up, self.down = nn.Linear(512, 3200), nn.Linear(3200, 512)
        self.norms = nn.ModuleList(nn.LayerNorm(512) for _ in range(3 if is_decoder else 2))

    def forward(self, x, position, memory=None, memory_position=None):
        q = x + position
        x = self.norms[0](x + self.own(q, q, x, need_weights=False)[0])
        if memory is not None:
            x = self.norms[2](x + self.cross(x + position, memory + memory_position, memory, need_weights=False)[0])
        return self.norms[1](x + self.down(F.relu(self.up(x))))


class ACT(nn.Module):
    """One 480x640 camera, state and action of 14, chunk 100, width 512, 4 + 1 layers; in training the VAE's 4 layers too.
    Inputs (B,3,480,640), (B,14), in training (B,100,14) too."""

    def __init__(self):
        super().__init__()
        self.backbone, self.map = resnet18(), nn.Conv2d(512, 512, 1)
        self.encoder = nn.ModuleList(Layer(False) for _ in range(4))
        self.vae = nn.ModuleList(Layer(False) for _ in range(4))
        self.decoder, self.norm, self.head = Layer(True), nn.LayerNorm(512), nn.Linear(512, 14)
        self.latent, self.state, self.out = nn.Linear(32, 512), nn.Linear(14, 512), nn.Linear(512, 64)
        self.vae_state, self.vae_action = nn.Linear(14, 512), nn.Linear(14, 512)
        self.cls = nn.Parameter(torch.randn(1, 1, 512))
        self.places, self.queries = nn.Parameter(torch.randn(2, 1, 512)), nn.Parameter(torch.randn(100, 1, 512))
        self.register_buffer("grid", torch.randn(300, 1, 512))
        self.register_buffer("sequence", torch.randn(102, 1, 512))

    def encode(self, state, actions):
        b = state.shape[0]
        x = torch.cat([self.cls.expand(1, b, 512), self.vae_state(state)[None], self.vae_action(actions).transpose(0, 1)])
        for layer in self.vae:
            x = layer(x, self.sequence)
        return self.out(x[0]).chunk(2, 1)

    def forward(self, image, state, latent):
        image = self.map(self.backbone(image)).flatten(2).permute(2, 0, 1)
        x = torch.cat([self.latent(latent)[None], self.state(state)[None], image])
        position = torch.cat([self.places, self.grid])
        for layer in self.encoder:
            x = layer(x, position)
        y = torch.zeros(100, x.shape[1], 512)
        return self.head(self.norm(self.decoder(y, self.queries, x, position))).transpose(0, 1)

    def loss(self, image, state, actions):
        mean, log_var = self.encode(state, actions)
        latent = mean + (log_var / 2).exp() * torch.randn_like(mean)
        kl = (-0.5 * (1 + log_var - mean.pow(2) - log_var.exp())).sum(-1).mean()
        return F.l1_loss(self(image, state, latent), actions) + 10 * kl


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


def unet512():
    return UNet((512, 1024, 2048))


mse = by_target(nn.functional.mse_loss)
UNET = ((16, 2), (128,), (132,))
# name: network, shapes of the inputs without batch, of training's tensors, batch (0: inference alone), loss
NETWORKS = {
    "mlp": (mlp, ((7,),), ((7,), (2,)), 256, mse),
    "mlp1024": (mlp1024, ((7,),), ((7,), (2,)), 256, mse),
    "pusht": (Residual, ((12,),), ((12,), (32,)), 512, by_target(mixture_loss)),
    "cnn": (cnn, ((3, 66, 200),), ((3, 66, 200), (1,)), 64, mse),
    "unet64": (unet64, UNET, UNET + ((16, 2),), 256, mse),
    "unet256": (unet256, UNET, UNET + ((16, 2),), 256, mse),
    "unet512": (unet512, UNET, UNET + ((16, 2),), 0, mse),
    "act": (ACT, ((3, 480, 640), (14,), (32,)), ((3, 480, 640), (14,), (100, 14)), 8, lambda model, *t: model.loss(*t)),
    "resnet18": (resnet18_classes, ((3, 224, 224),), ((3, 224, 224), (1000,)), 8, mse),
}
# Inference alone, from a file: shapes of the inputs.
SHARED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shared", "goldens", "yolo26")
FILES = {
    "yolo640": (os.path.join(SHARED, "yolo26n_640_e2e.onnx"), ((3, 640, 640),)),
    "yolo320": (os.path.join(SHARED, "yolo26n_320_raw.onnx"), ((3, 320, 320),)),
}
