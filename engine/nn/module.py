"""The module: a tree of parameters, buffers and other modules, found by attribute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from fnmatch import fnmatchcase
from itertools import count
from typing import Any, NoReturn, Self

import numpy as np

from engine import dtypes
from engine.device import move
from engine.errors import EngineError, ShapeError, StateError
from engine.nn.parameter import Buffer, Parameter, Uninitialised
from engine.nn.state import fill, load
from engine.tensor import Tensor

#: The dotted path of the module whose `forward` runs now; "" at the root and outside modules.
scope: ContextVar[str] = ContextVar("scope", default="")
_paths: ContextVar[dict[int, str] | None] = ContextVar("paths", default=None)
_edits = count(1)
_structure = 0


def _structure_changed() -> None:
    """Forget the cached paths of every tree: somewhere a module came or went."""
    global _structure
    _structure = next(_edits)


class Module:
    """A layer, or a tree of layers.

    Assign `Parameter`, `Buffer` and `Module` objects to attributes and write `forward`; lists and
    dictionaries of modules go into `ModuleList` and `ModuleDict`. Building a module allocates
    nothing: `init(seed=...)` fills the parameters, each from its own rule.
    """

    training: bool = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        paths = _paths.get()
        if paths is None:
            return self._call_as_root(args, kwargs)
        path = paths.get(id(self))
        if path is None:  # not an attribute of the tree: named by where it was met
            path = f"{scope.get()}.{type(self).__name__}".lstrip(".")
        token = scope.set(path)
        try:
            return self.forward(*args, **kwargs)
        except EngineError as error:
            _note(error, f"in {path} ({type(self).__name__})")
            raise
        finally:
            scope.reset(token)

    def _call_as_root(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = (id(self), _structure)  # a copy of this module has an id of its own
        held: tuple[tuple[int, int], dict[int, str]] | None = vars(self).get("_path_cache")
        if held is None or held[0] != key:
            held = (key, {id(module): name for name, module in self.named_modules()})
            vars(self)["_path_cache"] = held
        token = _paths.set(held[1])
        try:
            return self.forward(*args, **kwargs)
        finally:
            _paths.reset(token)

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse_hidden(type(self).__name__, name, value)
        if isinstance(value, Module) or isinstance(vars(self).get(name), Module):
            _structure_changed()
        super().__setattr__(name, value)

    def changed(self) -> None:
        """Say that a module came or went otherwise than by attribute."""
        _structure_changed()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        _structure_changed()

    # The tree

    def members(self) -> Iterator[tuple[str, Parameter | Buffer | Module]]:
        """What this module holds itself, by name, in order of assignment."""
        for name, member in vars(self).items():
            if isinstance(member, Parameter | Buffer | Module):
                yield name, member

    def named_children(self) -> Iterator[tuple[str, Module]]:
        for name, member in self.members():
            if isinstance(member, Module):
                yield name, member

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Every module of the tree with its dotted name, parents first, each once; self is ""."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            name, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield name, module
            below = [(f"{name}.{key}" if name else key, m) for key, m in module.named_children()]
            stack.extend(reversed(below))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name; a shared one once, by its first name."""
        for name, member in self._named_leaves():
            if isinstance(member, Parameter):
                yield name, member

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Every buffer (state that is not learned, such as running statistics)."""
        for name, member in self._named_leaves():
            if isinstance(member, Buffer):
                yield name, member

    def _named_leaves(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        seen: set[int] = set()
        for path, module in self.named_modules():
            for key, member in module.members():
                if isinstance(member, Module) or id(member) in seen:
                    continue
                seen.add(id(member))
                yield (f"{path}.{key}" if path else key), member

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def parameters(self) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.named_parameters())

    def buffers(self) -> Iterator[Buffer]:
        return (buffer for _, buffer in self.named_buffers())

    def num_parameters(self, *, trainable: bool = False) -> int:
        """How many numbers the parameters hold (with `trainable`, those that are not frozen)."""
        return sum(p.type.size for p in self.parameters() if p.requires_grad or not trainable)

    # Modes

    def train(self, mode: bool = True) -> Self:
        """Switch to training: dropout drops, batch norm uses and updates batch statistics."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch to evaluation: dropout passes, batch norm uses its running statistics."""
        return self.train(False)

    def freeze(self, pattern: str = "*") -> Self:
        """Stop learning the parameters whose dotted name matches the pattern (`encoder.*`)."""
        return self._set_trainable(pattern, False)

    def unfreeze(self, pattern: str = "*") -> Self:
        return self._set_trainable(pattern, True)

    def _set_trainable(self, pattern: str, on: bool) -> Self:
        found = [p for name, p in self.named_parameters() if fnmatchcase(name, pattern)]
        if not found and pattern != "*":
            raise StateError(f"no parameter is called like {pattern!r}; see named_parameters()")
        for parameter in found:
            parameter.requires_grad = on
        return self

    def zero_grad(self) -> Self:
        for parameter in self.parameters():
            parameter.grad = None
        return self

    # Numbers

    def init(self, seed: int = 0) -> Self:
        """Fill every parameter and buffer by its rule.

        Each draws from Philox keyed by the seed and its dotted name, so the numbers do not
        depend on the order in which, or the machine on which, the module was built.
        """
        for name, leaf in self._named_leaves():
            leaf.init(seed, name)
        return self

    def to(self, target: object) -> Self:
        """Give floating parameters and buffers another dtype ("float64"), or move all of them to
        a device ("cuda:0", "cpu"), where they must be initialised."""
        if isinstance(target, str) and target.partition(":")[0] in ("cpu", "cuda"):
            for _, leaf in self._named_leaves():
                leaf.data = move(leaf.data, target)
            return self
        kind = dtypes.dtype(target)
        for _, leaf in self._named_leaves():
            if dtypes.is_float(leaf.dtype):
                leaf.change_dtype(kind)
        return self

    def state_dict(self, *, copy: bool = True) -> dict[str, np.ndarray]:
        """Parameters and persistent buffers by dotted name, as arrays of their own.

        `copy=False` gives the arrays that training goes on changing.
        """
        return {
            name: np.array(leaf.numpy()) if copy else leaf.numpy()
            for name, leaf in self._stored_leaves()
        }

    def load_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> Self:
        """Take over a `state_dict`. Nothing changes unless all of it fits.

        StateError names every missing, extra and misshapen entry at once; `strict=False` lets
        missing and extra ones pass.
        """
        load(dict(self._stored_leaves()), state, strict=strict, owner=type(self).__name__)
        return self

    def _stored_leaves(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        for name, leaf in self._named_leaves():
            if not isinstance(leaf, Buffer) or leaf.persistent:
                yield name, leaf

    # Words

    def describe(self) -> str:
        """The arguments that matter, for `repr`."""
        return ""

    def label(self) -> str:
        """How errors name this layer while it runs."""
        path = scope.get()
        return f"{path} ({type(self).__name__})" if path else type(self).__name__

    def refuse(self, expected: str, got: Any) -> NoReturn:
        """Raise the ShapeError of a layer whose input does not fit."""
        told = getattr(got, "type", got)
        raise ShapeError(f"{self.label()}: expected {expected}, got {told}")

    def __repr__(self) -> str:
        kind, text = type(self).__name__, self.describe()
        below = [f"({name}): {child!r}" for name, child in self.named_children()]
        if not below:
            return f"{kind}({text})"
        lines = "\n".join([text, *below] if text else below).replace("\n", "\n  ")
        return f"{kind}(\n  {lines}\n)"


def set_buffer(buffer: Buffer, fresh: Tensor) -> None:
    """Give a buffer its next value; while tracing, the symbol that the step must write back."""
    if fresh.is_symbolic or buffer.is_symbolic:
        buffer.data = fresh.data
    else:
        fill(buffer, fresh.data)


def _note(error: BaseException, text: str) -> None:
    if not getattr(error, "__notes__", None):
        error.add_note(text)


def _refuse_hidden(owner: str, name: str, value: Any) -> None:
    """A plain list or dictionary would hide its modules from the tree."""
    items = value.values() if isinstance(value, dict) else value
    if isinstance(value, list | tuple | dict) and any(
        isinstance(item, Module | Parameter | Buffer) for item in items
    ):
        wrapper = "ModuleDict" if isinstance(value, dict) else "ModuleList"
        raise StateError(
            f"{owner}.{name} is a plain {type(value).__name__} of modules or parameters, which "
            f"the module cannot see; wrap modules in {wrapper}, give parameters names of their own"
        )


__all__ = ["Buffer", "Module", "Parameter", "Uninitialised", "scope", "set_buffer"]
