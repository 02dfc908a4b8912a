"""Sums of rows that share a place: sorted into segments, so the order of addition is fixed."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.backend.modules import array_module


def sum_rows(rows: Any, places: Any, size: int) -> Any:
    """out[p] = Σ rows[i] over all i with places[i] == p. [n, d] -> [size, d].

    The additions made for a place depend on its own rows and their order alone.
    """
    xp = array_module(rows)
    out = xp.zeros((size, rows.shape[1]), rows.dtype)
    if rows.size == 0:
        return out
    order = places.argsort(kind="stable") if xp is np else xp.argsort(places)
    places = places[order]
    heads = xp.flatnonzero(xp.concatenate([xp.ones(1, bool), places[1:] != places[:-1]]))
    out[places[heads]] = halve_segments(xp, rows[order], heads, xp.add)
    return out


def halve_segments(xp: Any, rows: Any, heads: Any, combine: Any) -> Any:
    """Every segment of rows (each begins at one of `heads`) combined to one: added, for instance.

    The second half of every segment is combined with its first, again and again.
    """
    lengths = xp.diff(xp.concatenate([heads, xp.asarray([len(rows)])]))
    longest = int(lengths.max())
    while longest > 1:
        halves = (lengths + 1) // 2
        starts = xp.cumsum(halves) - halves  # of the segments that are left over
        segment = xp.zeros(int(halves.sum()), xp.int64)
        segment[starts[1:]] = 1
        segment = xp.cumsum(segment)
        offset = xp.arange(len(segment)) - starts[segment]
        first = heads[segment] + offset
        paired = offset + halves[segment] < lengths[segment]
        kept = rows[first]
        kept[paired] = combine(kept[paired], rows[(first + halves[segment])[paired]])
        rows, heads, lengths, longest = kept, starts, halves, (longest + 1) // 2
    return rows
