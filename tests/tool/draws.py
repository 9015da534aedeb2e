# SPDX-License-Identifier: MIT OR Apache-2.0
"""The numbers that a policy file's golden vector is made with, drawn again: Philox4x32-10 of seed 20240229, as src/base/rng.c draws them.

Stream i holds the bytes of the picture that is input i, stream NOISE the noise that a denoiser begins with and adds."""
import numpy as np

SEED = 20240229
NOISE = 12  # MYNAH_POLICY_INPUTS_MAX


def words(stream, first, n):
    """n 32-bit words of a stream from number `first` on."""
    mask = np.uint64(0xFFFFFFFF)
    index = np.arange(first // 4, (first + n + 3) // 4, dtype=np.uint64)
    c = [index & mask, index >> np.uint64(32), np.full_like(index, stream), np.zeros_like(index)]
    k0, k1 = SEED, 0
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [p1 >> np.uint64(32) ^ c[1] ^ np.uint64(k0), p1 & mask, p0 >> np.uint64(32) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, 1).reshape(-1)[first % 4:][:n].astype(np.uint32)


def picture(stream, shape):
    return (words(stream, 0, int(np.prod(shape))) & 255).astype(np.uint8).reshape(shape)


def normals(stream, first, n):
    """Box and Muller's of pairs of words; `first` must be even."""
    w = words(stream, first, n + n % 2).astype(np.float64).reshape(-1, 2)
    radius = np.sqrt(-2 * np.log((np.floor(w[:, 0] / 2) + 0.5) / 2.0 ** 31))
    angle = 2 * np.pi * w[:, 1] / 2.0 ** 32
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[:n].astype(np.float32)
