"""A model's forward pass, planned once for each shape of its input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter, is_
from threading import Lock
from typing import Any, Literal

import numpy as np

from engine.compile.backend import Backend
from engine.compile.leaves import array_type, own, read, types_of
from engine.compile.plan import Plan
from engine.compile.runners import Runners
from engine.errors import StateError
from engine.ir.structure import build, transform
from engine.ir.trace import trace, type_of_leaf
from engine.nn.module import Module
from engine.tape import set_recording
from engine.tensor import Tensor

DATA = attrgetter("data")


class Inference:
    """The model in evaluation mode: `Inference(model)(x)` gives arrays.

    function: called as function(model, *inputs) where something else than `model(*inputs)` is
        wanted, such as a loss over a batch.
    weights: arrays to use in place of the model's own, by parameter name, such as the moving
        averages of a `TrainStep`. Both are read anew by every call, so training shows at once.
    mode: "graph" is compiled to C where there is a compiler; "interpreter" has the bits of eager
        execution.
    threads: of compiled plans; the results do not depend on it. All processors unless told.

    May be shared by threads; they run one after another.
    """

    def __init__(
        self,
        model: Module,
        *,
        function: Callable[..., Any] | None = None,
        weights: Mapping[str, np.ndarray] | None = None,
        mode: Literal["graph", "interpreter"] = "graph",
        threads: int | None = None,
    ) -> None:
        if mode not in ("graph", "interpreter"):
            raise ValueError(f"mode must be 'graph' or 'interpreter', got {mode!r}")
        self.model = model
        self._function = function
        self._leaves = self._leaves_with_weights(weights or {})
        self._arrays: list[np.ndarray] = []
        self._runners = Runners(
            backend=Backend("auto" if mode == "graph" else "interpreter", threads)
        )
        self._lock = Lock()

    def __call__(self, *inputs: Any) -> Any:
        """The outputs as arrays, nested as the model nests its tensors.

        inputs: arrays, or dictionaries and lists of arrays.
        """
        arrays, key = read(inputs)
        with self._lock:
            self._settle()
            runner = self._runners.latest(key)
            if runner is None:
                runner = self._runners.find(
                    key,
                    lambda: self._make_plan(types_of(inputs)),
                    lambda: dict(enumerate(self._arrays, start=len(arrays))),
                )
            results = [array.copy("K") for array in runner.run(arrays)]
            return build(runner.plan.form, iter(results))

    @property
    def backend(self) -> str:
        """What runs it: "c (COMPILER)", or "interpreter" with the reason."""
        return str(self._runners.backend)

    @property
    def fallback(self) -> str:
        """Why it is interpreted though C was wanted; "" where it is not."""
        return self._runners.backend.fallback

    def plan(self, *inputs: Any) -> Plan:
        """The plan for inputs, or for trees of their types."""
        return self._make_plan(transform(inputs, type_of_leaf))

    def _leaves_with_weights(self, weights: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """What the model holds, with other arrays for some of it."""
        found = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        for name, array in weights.items():
            leaf = found.get(name)
            if leaf is None:
                raise StateError(f"weights has {name!r}, which the model has not")
            if leaf.type != array_type(array):
                raise StateError(f"weights: {name} is {array_type(array)}, expected {leaf.type}")
        return found | {name: Tensor(array) for name, array in weights.items()}

    def _settle(self) -> None:
        """Plans are bound to the arrays of the model: bind them anew where it has others now."""
        leaves = self._leaves.values()
        if len(self._arrays) != len(leaves) or not all(map(is_, map(DATA, leaves), self._arrays)):
            self._runners.clear()
            self._arrays = [own(leaf) for leaf in leaves]

    def _make_plan(self, types: tuple[Any, ...]) -> Plan:
        bound = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        with evaluating(self.model), set_recording(False):
            graph = trace(self._run, *types, bound=bound)
        first = len(graph.inputs) - len(bound)
        return self._runners.backend.plan(graph, range(first, len(graph.inputs)))

    def _run(self, *inputs: Any) -> Any:
        return (
            self.model(*inputs) if self._function is None else self._function(self.model, *inputs)
        )


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """The model in evaluation mode for a while; then every module is in the mode it was in."""
    held = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in held:
            module.training = training
