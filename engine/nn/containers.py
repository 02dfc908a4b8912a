"""Modules that hold modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from engine.errors import AxisError, StateError
from engine.nn.module import Module


class _Holder(Module):
    """Modules by name, in order. The names become parts of dotted names."""

    def __init__(self, named: Iterable[tuple[str, Module]]) -> None:
        vars(self)["_held"] = {}
        for name, module in named:
            self._hold(name, module)

    def _hold(self, name: str, module: Module) -> None:
        if not isinstance(module, Module):
            kind = type(module).__name__
            raise StateError(f"{type(self).__name__} holds modules, {name!r} is a {kind}")
        if not isinstance(name, str) or not name or "." in name:
            raise StateError(f"a module needs a name without dots, got {name!r}")
        self._held[name] = module
        self.changed()

    @property
    def _held(self) -> dict[str, Module]:
        held: dict[str, Module] = vars(self)["_held"]
        return held

    def members(self) -> Iterator[tuple[str, Any]]:
        yield from super().members()
        yield from self._held.items()

    def __len__(self) -> int:
        return len(self._held)


class _List(_Holder):
    """Modules by number."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__((str(number), module) for number, module in enumerate(modules))

    def append(self, module: Module) -> Self:
        self._hold(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        for module in modules:
            self.append(module)
        return self

    def __iter__(self) -> Iterator[Module]:
        return iter(self._held.values())

    def __getitem__(self, number: int) -> Module:
        if not -len(self) <= number < len(self):
            raise AxisError(f"{type(self).__name__} has {len(self)} modules, not a number {number}")
        return list(self._held.values())[number]

    def __setitem__(self, number: int, module: Module) -> None:
        self[number]
        self._hold(str(number % len(self)), module)


class ModuleList(_List):
    """A list of modules that the tree can see: `ModuleList([Linear(3, 4), Linear(4, 2)])`."""


class ModuleDict(_Holder):
    """Modules by name that the tree can see: `ModuleDict({"left": Linear(3, 4)})`."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__((modules or {}).items())

    def __getitem__(self, name: str) -> Module:
        if name not in self._held:
            raise StateError(f"no module is called {name!r}; there are {', '.join(self._held)}")
        return self._held[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self._hold(name, module)

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def keys(self) -> Iterable[str]:
        return self._held.keys()

    def values(self) -> Iterable[Module]:
        return self._held.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        return self._held.items()


class Sequential(_List):
    """One module after another: `Sequential(Linear(3, 4), ReLU())`, or named by a dictionary."""

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            _Holder.__init__(self, modules[0].items())
        else:
            super().__init__(modules)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        for module in self._held.values():
            x = module(x)
        return x
