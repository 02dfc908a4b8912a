"""Nested dictionaries, lists and tuples of tensors, flattened and built up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import TracingError
from engine.ir.graph import TensorType
from engine.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Form:
    """The nesting of a tree.

    kind: dict, list, tuple (or a named tuple class), `LEAF`, or `STATIC` for what is no tensor.
    """

    kind: Any
    keys: tuple[Any, ...] = ()
    children: tuple[Form, ...] = ()
    value: Any = None


LEAF = Form("leaf")


def flatten(tree: Any, *, name: str = "") -> tuple[list[Any], list[str], Form]:
    """Leaves in order, their dotted names, and the form that `build` needs."""
    leaves: list[Any] = []
    names: list[str] = []
    return leaves, names, _flatten(tree, name, leaves, names)


def build(form: Form, leaves: Iterator[Any]) -> Any:
    """The tree of `form` with the given leaves, in order."""
    if form is LEAF:
        return next(leaves)
    if form.kind == "static":
        return form.value
    children = [build(child, leaves) for child in form.children]
    if form.kind is dict:
        return dict(zip(form.keys, children, strict=True))
    if hasattr(form.kind, "_fields"):
        return form.kind(*children)
    return form.kind(children)


def transform(tree: Any, change: Callable[[Any], Any]) -> Any:
    """The same tree with every leaf changed."""
    leaves, _, form = flatten(tree)
    return build(form, iter([change(leaf) for leaf in leaves]))


def _flatten(tree: Any, name: str, leaves: list[Any], names: list[str]) -> Form:
    if isinstance(tree, Tensor | TensorType | np.ndarray | np.generic):
        leaves.append(tree)
        names.append(name)
        return LEAF
    if isinstance(tree, dict):
        keys = tuple(tree)
        below = [_flatten(tree[key], _join(name, key), leaves, names) for key in keys]
        return Form(dict, keys, tuple(below))
    if isinstance(tree, list | tuple):
        keys = getattr(tree, "_fields", tuple(range(len(tree))))
        below = [
            _flatten(item, _join(name, key), leaves, names)
            for key, item in zip(keys, tree, strict=True)
        ]
        return Form(type(tree), (), tuple(below))
    if tree is None or isinstance(tree, bool | int | float | str):
        return Form("static", value=tree)
    raise TracingError(
        f"{name or 'a traced value'} is a {type(tree).__name__}; traced functions take and return "
        "tensors, numbers, and dictionaries, lists and tuples of them"
    )


def _join(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)
