"""Einstein summation, taken apart into transposes, sums, products and matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from engine.dispatch import single
from engine.errors import ShapeError
from engine.ops.movement import expand, permute, reshape
from engine.ops.reduce import sum_
from engine.tensor import Tensor

_ELLIPSIS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # names of the axes behind "...", from the last one back


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """`einsum("bij,bjk->bik", a, b)`: products summed over the letters that the result lacks.

    Letters are a-z; "..." stands for leading axes that broadcast; a letter twice in one operand
    takes its diagonal. Without "->" the result has the letters that occur once, in order.
    """
    terms, result = _parsed(equation, operands)
    sizes = _sizes(equation, terms, operands)
    pairs = [
        _diagonal(_spread(t, letters, sizes), letters)
        for t, letters in zip(operands, terms, strict=True)
    ]
    for chosen in _order(pairs, result):
        picked = [pairs.pop(i) for i in sorted(chosen, reverse=True)][::-1]
        wanted = set(result).union(*(letters for _, letters in pairs))
        pairs.append(_contract(picked, wanted, sizes))
    tensor, letters = pairs[0]
    tensor, letters = _summed(tensor, letters, set(result))
    return permute(tensor, [letters.index(c) for c in result])


def _parsed(equation: str, operands: Sequence[Tensor]) -> tuple[list[str], str]:
    """The letters of every operand and of the result, with names for what "..." stands for."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    given = left.split(",")
    if len(given) != len(operands):
        raise ShapeError(f"einsum: {equation!r} has {len(given)} terms for {len(operands)} tensors")
    terms, longest = [], 0
    for term, operand in zip(given, operands, strict=True):
        named = term.replace("...", "")
        if not (named == "" or (named.isascii() and named.islower() and named.isalpha())):
            raise ShapeError(f"einsum: {term!r} in {equation!r}; letters a-z and '...' are known")
        hidden = operand.ndim - len(named)
        if hidden < 0 or (hidden and "..." not in term):
            raise ShapeError(f"einsum: {term!r} names {len(named)} axes of {operand.type}")
        terms.append(term.replace("...", _ELLIPSIS[:hidden][::-1]))
        longest = max(longest, hidden)
    everything = "".join(terms)
    lead = _ELLIPSIS[:longest][::-1]
    if not arrow:
        once = sorted(c for c in set(everything) if everything.count(c) == 1 and c.islower())
        return terms, lead + "".join(once)
    result = right.replace("...", lead)
    if len(set(result)) < len(result) or not set(result) <= set(everything):
        raise ShapeError(f"einsum: the result {right!r} of {equation!r} is not made of its terms")
    return terms, result


def _sizes(equation: str, terms: Sequence[str], operands: Sequence[Tensor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for letters, operand in zip(terms, operands, strict=True):
        for letter, n in zip(letters, operand.shape, strict=True):
            held = sizes.setdefault(letter, n)
            broadcasts = letter.isupper() and 1 in (held, n)
            if held != n and not broadcasts:
                raise ShapeError(f"einsum: {letter!r} of {equation!r} is both {held} and {n} long")
            sizes[letter] = n if held == 1 else held
    return sizes


def _spread(x: Tensor, letters: str, sizes: dict[str, int]) -> Tensor:
    return expand(x, [sizes[c] for c in letters])


def _diagonal(x: Tensor, letters: str) -> tuple[Tensor, str]:
    """Every letter once: of two equal ones the diagonal is taken."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            rest = [i for i in range(x.ndim) if i not in (first, second)]
            n, shape = x.shape[first], [x.shape[i] for i in rest]
            flat = reshape(permute(x, [*rest, first, second]), (*shape, n * n))
            x = single("take", flat, np.arange(n) * (n + 1), axis=len(rest))
            letters = "".join(letters[i] for i in rest) + letter
    return x, letters


def _order(pairs: Sequence[tuple[Tensor, str]], result: str) -> list[tuple[int, ...]]:
    """Which terms meet first: NumPy's greedy order, found from the shapes."""
    if len(pairs) < 3:
        return [tuple(range(len(pairs)))] if len(pairs) == 2 else []
    dummies: list[Any] = [np.broadcast_to(np.zeros(()), t.shape) for t, _ in pairs]
    equation = ",".join(letters for _, letters in pairs) + "->" + result
    path = np.einsum_path(equation, *dummies, optimize="greedy")[0][1:]
    return [tuple(found) for found in path]


def _summed(x: Tensor, letters: str, wanted: set[str]) -> tuple[Tensor, str]:
    """x summed over the letters that nobody wants any more."""
    gone = [i for i, c in enumerate(letters) if c not in wanted]
    if not gone:
        return x, letters
    return sum_(x, gone), "".join(c for c in letters if c in wanted)


def _contract(
    picked: Sequence[tuple[Tensor, str]], wanted: set[str], sizes: dict[str, int]
) -> tuple[Tensor, str]:
    """Terms multiplied and summed over the letters that are not wanted."""
    left, a = picked[0]
    for place, (right, b) in enumerate(picked[1:], 1):
        later = wanted.union(*(letters for _, letters in picked[place + 1 :]))
        left, a = _product(left, a, right, b, later, sizes)
    return left, a


def _product(
    left: Tensor, a: str, right: Tensor, b: str, wanted: set[str], sizes: dict[str, int]
) -> tuple[Tensor, str]:
    left, a = _summed(left, a, wanted | set(b))
    right, b = _summed(right, b, wanted | set(a))
    both = [c for c in a if c in b]
    batch, inner = [c for c in both if c in wanted], [c for c in both if c not in wanted]
    rows, columns = [c for c in a if c not in both], [c for c in b if c not in both]

    def grouped(x: Tensor, letters: str, *groups: list[str]) -> Tensor:
        order = [letters.index(c) for group in groups for c in group]
        lengths = [prod(sizes[c] for c in group) for group in groups]
        return reshape(permute(x, order), lengths)

    first = grouped(left, a, batch, rows, inner)
    second = grouped(right, b, batch, inner, columns)
    if not inner:
        second = grouped(right, b, batch, [], columns)
        found = single("mul", grouped(left, a, batch, rows, []), second)
    elif not batch:
        found = single("matmul", reshape(first, first.shape[1:]), reshape(second, second.shape[1:]))
    else:
        found = single("matmul", first, second)
    letters = "".join([*batch, *rows, *columns])
    return reshape(found, [sizes[c] for c in letters]), letters
