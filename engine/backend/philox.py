"""Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as
1, 2, 3" (SC 2011).

Word i of a draw is word i mod 4 of the block with the key (seed low, seed high) and the counter
(i // 4, draw, step low, step high). Nothing is kept between calls; the words do not depend on how
many are asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.errors import RandomError

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF
_ROUNDS = 10
_BLOCK = 8192


def philox(counter: Any, key: tuple[int, int], xp: Any = np) -> Any:
    """The four words of every counter: [4, n] of 32-bit numbers in uint64 -> [4, n] likewise."""
    low, half = xp.uint64(_LOW), xp.uint64(32)
    a, b, c, d = (row.copy() for row in counter)
    first, second = xp.uint64(_MULTIPLIERS[0]), xp.uint64(_MULTIPLIERS[1])
    left, right = key
    for _ in range(_ROUNDS):
        a *= first
        c *= second
        b ^= c >> half
        b ^= xp.uint64(left)
        d ^= a >> half
        d ^= xp.uint64(right)
        a &= low
        c &= low
        a, b, c, d = b, c, d, a
        left, right = (left + _WEYL[0]) & _LOW, (right + _WEYL[1]) & _LOW
    return xp.stack([a, b, c, d])


def words(seed: Any, step: Any, draw: int, count: int, xp: Any = np) -> Any:
    """The first `count` 32-bit words of one draw, as uint32."""
    blocks = -(-count // 4)
    if blocks > _LOW or not 0 <= draw <= _LOW:
        raise RandomError(f"one draw has at most 2**34 words, a step 2**32 draws; not {count}")
    key_bits, step_bits = int(seed) & (1 << 64) - 1, int(step) & (1 << 64) - 1
    key = key_bits & _LOW, key_bits >> 32
    rest = (draw, step_bits & _LOW, step_bits >> 32)
    out = xp.empty((blocks, 4), xp.uint32)
    size = _BLOCK if xp is np else max(1, blocks)
    for start in range(0, blocks, size):
        places = xp.arange(start, min(blocks, start + size), dtype=xp.uint64)
        counter = [places, *(xp.full(places.shape, word, xp.uint64) for word in rest)]
        out[start : start + len(places)] = philox(counter, key, xp).T
    return out.reshape(-1)[:count]


def doubles(bits: Any, xp: Any = np) -> Any:
    """Pairs of words as numbers in [0, 1) with 53 random bits, float64."""
    pair = bits.reshape(-1, 2).astype(xp.uint64)
    whole = (pair[:, 0] >> xp.uint64(5)) * xp.uint64(1 << 26) + (pair[:, 1] >> xp.uint64(6))
    return whole.astype(xp.float64) * 2.0**-53


def uniforms(seed: Any, step: Any, draw: int, count: int, dtype: Any, xp: Any = np) -> Any:
    """Numbers in [0, 1): 24 random bits a word for float32, 53 of two words for float64."""
    if np.dtype(dtype) == np.float64:
        return doubles(words(seed, step, draw, 2 * count, xp), xp)
    bits = words(seed, step, draw, count, xp) >> xp.uint32(8)
    return (bits.astype(xp.float32) * xp.float32(2.0**-24)).astype(dtype, copy=False)


def normals(seed: Any, step: Any, draw: int, count: int, dtype: Any, xp: Any = np) -> Any:
    """Normal numbers by the method of Box and Muller (1958), two from two uniform ones."""
    pairs = -(-count // 2)
    if np.dtype(dtype) == np.float64:
        both = doubles(words(seed, step, draw, 4 * pairs, xp), xp).reshape(-1, 2)
        near, turn = 1 - both[:, 0], both[:, 1]
    else:
        both = words(seed, step, draw, 2 * pairs, xp).astype(xp.float32).reshape(-1, 2)
        near = both[:, 0] * xp.float32(2.0**-32) + xp.float32(2.0**-33)
        turn = both[:, 1] * xp.float32(2.0**-32)
    radius = xp.sqrt(-2 * xp.log(near))
    angle = turn * turn.dtype.type(2 * np.pi)
    found = xp.stack([radius * xp.cos(angle), radius * xp.sin(angle)], axis=1)
    return found.reshape(-1)[:count].astype(dtype, copy=False)


def integers(seed: Any, step: Any, draw: int, count: int, low: int, high: int, xp: Any = np) -> Any:
    """Integers in [low, high), int64; every one within 2**-32 of its share."""
    span = high - low
    pair = words(seed, step, draw, 2 * count, xp).reshape(-1, 2).astype(xp.uint64)
    if span < 1 << 32:
        lower = (pair[:, 1] * xp.uint64(span)) >> xp.uint64(32)
        offset = (pair[:, 0] * xp.uint64(span) + lower) >> xp.uint64(32)
    else:
        offset = ((pair[:, 0] << xp.uint64(32)) | pair[:, 1]) % xp.uint64(span)
    return offset.astype(xp.int64) + low
