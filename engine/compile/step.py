"""The training step: traced once for each batch shape, then run without Python in between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter, is_
from typing import Any, Literal

import numpy as np

from engine import dtypes
from engine.compile.backend import Backend
from engine.compile.leaves import array_of, array_type, own, read, types_of
from engine.compile.plan import Plan
from engine.compile.program import Loss, Options, Program, by_graph, by_tape, owned
from engine.compile.runners import Runners
from engine.errors import StateError
from engine.ir.graph import Graph, TensorType
from engine.ir.structure import transform
from engine.ir.trace import trace, type_of_leaf
from engine.nn.module import Module
from engine.nn.state import fill, mismatches
from engine.optim.optimizer import Optimizer
from engine.tape import set_recording
from engine.tensor import Tensor

DATA, LEARNS = attrgetter("data"), attrgetter("requires_grad")
#: The types of seed, step and learning rate: plans read them where they stay.
SCALARS = (
    TensorType((), dtypes.uint64),
    TensorType((), dtypes.uint64),
    TensorType((), dtypes.float64),
)


class TrainStep:
    """One step of training: forward, backward, clipping, optimizer and averages as one program.

    loss: called as loss(model, batch); returns a scalar, or a scalar and a dictionary of further
        tensors to be returned (metrics). It must not look at numbers, only at shapes.
    optimizer: of the model's parameters; its state and the model's are updated in place.
    clip_norm, clip_value: limits of the global norm and of every element of the gradients.
    accumulate: the batch is cut into so many parts, worked through one after another, and their
        gradients added up: the same step with less memory. Statistics of batch norm see the parts.
    seed: of all random draws; they depend on it, on the step and on their place in the program.
    ema: decay of moving averages of the weights, see `averages`.
    mode: "graph" runs a plan, compiled to C where there is a compiler, else interpreted.
        "interpreter" always interprets it, "eager" runs the same operations one by one; the
        results of these two are equal to the bit.
    threads: of compiled plans; the results do not depend on it. All processors unless told.

    Used by one thread at a time.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        seed: int = 0,
        ema: float | None = None,
        mode: Literal["graph", "interpreter", "eager"] = "graph",
        threads: int | None = None,
    ) -> None:
        if mode not in ("graph", "interpreter", "eager"):
            raise ValueError(f"mode must be 'graph', 'interpreter' or 'eager', got {mode!r}")
        self.model, self.loss, self.optimizer, self.mode = model, loss, optimizer, mode
        self.options = Options(clip_norm, clip_value, accumulate, ema)
        self.seed = seed & (1 << 64) - 1
        self._averages: dict[str, np.ndarray] = {}
        self._runners = Runners(
            backend=Backend("auto" if mode == "graph" else "interpreter", threads)
        )
        self._program: Program | None = None
        self._learning: list[bool] = []
        self._leaves: list[Tensor] = []
        self._arrays: list[np.ndarray] = []  # of the leaves; plans are bound to them
        self._scalars = [np.zeros((), type.dtype) for type in SCALARS]

    def __call__(self, batch: Any, *, step: int, lr: float) -> dict[str, Any]:
        """Learn from one batch; the loss, the norm of the gradients before clipping, and metrics.

        batch: a dictionary (or tree) of arrays. step: counted from 0. lr: the learning rate.
        Loss and norm tell whether the numbers went astray; by then the weights may have, too.
        """
        self._settle()
        found: Iterable[tuple[str, np.ndarray]]
        if self.mode == "eager":
            tensors = transform(batch, lambda leaf: Tensor(array_of(leaf)))
            found = self._run_eagerly(tensors, _scalars(self.seed, step, lr)).items()
        else:
            scalars = self._scalars
            scalars[0][()], scalars[1][()], scalars[2][()] = self.seed, step, lr
            arrays, key = read(batch)
            runner = self._runners.latest(key)
            if runner is None:
                runner = self._runners.find(
                    key,
                    lambda: self._make_plan(types_of(batch)),
                    lambda: dict(enumerate([*scalars, *self._arrays], start=len(arrays))),
                )
            found = zip(runner.names, runner.run(arrays), strict=True)
        self.optimizer.steps = step + 1
        return {name: np.array(a) if a.shape else a.item() for name, a in found}

    def plan(self, batch: Any) -> Plan:
        """The plan for a batch, or for a tree of its types."""
        self._settle()
        return self._make_plan(transform(batch, type_of_leaf))

    def measure(self, batch: Any, *, runs: int = 20) -> dict[int, float]:
        """Seconds that each launch of the plan takes, the least of some runs; weights change.

        Launches that run side by side share what they take together by their work.
        """
        self(batch, step=0, lr=0.0)
        arrays, _ = read(batch)
        (ready,) = self._runners.ready()
        found = [ready.spent(arrays) for _ in range(runs)]
        return {index: min(one[index] for one in found) for index in found[0]}

    @property
    def backend(self) -> str:
        """What runs the step: "c (COMPILER)", "interpreter", with its reason, or "eager"."""
        return "eager" if self.mode == "eager" else str(self._runners.backend)

    @property
    def fallback(self) -> str:
        """Why it is interpreted though C was wanted; "" where it is not."""
        return self._runners.backend.fallback

    @property
    def averages(self) -> dict[str, np.ndarray]:
        """The moving averages of the weights by name, the very arrays that steps go on changing."""
        self._settle()
        return dict(self._averages)

    # State for checkpoints

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all that the next step depends on, as "model.", "optimizer.", "ema." entries.

        Parameters of the loss, where it is a module, are "loss." entries; "other." are those that
        only the optimizer knows.
        """
        self._settle()
        found = {name: np.array(tensor.numpy()) for name, tensor in self._kept().items()}
        state = self.optimizer.state_dict()
        found |= {f"optimizer.{name}": array for name, array in state.items()}
        return found | {f"ema.{name}": np.array(a) for name, a in self._averages.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a `state_dict`. StateError, and nothing changed, where it does not fit."""
        now = self.state_dict()
        wanted = {name: array_type(array) for name, array in now.items()}
        problems = mismatches(wanted, state, strict=True)
        if problems:
            raise StateError("the state does not fit the step:\n  " + "\n  ".join(problems))
        for name, tensor in self._kept().items():
            fill(tensor, np.asarray(state[name]))
        self.optimizer.load_state_dict(_part(state, "optimizer."))
        for name, array in _part(state, "ema.").items():
            np.copyto(self._averages[name], array)

    def _kept(self) -> dict[str, Tensor]:
        """Parameters, and the buffers that are to be kept."""
        found = owned(self.model, self.loss, self.optimizer)
        return {name: t for name, t in found.items() if getattr(t, "persistent", True)}

    # Memory of the model and the optimizer

    def _settle(self) -> None:
        """See that the arrays, and what learns, are those that the plans were made for."""
        if not self.model.training:
            raise StateError("the model is in evaluation mode; call model.train() before a step")
        learning = list(map(LEARNS, self.optimizer.parameters.values()))
        if self._program is None or learning != self._learning:
            self._start(learning)
        if all(map(is_, map(DATA, self._leaves), self._arrays)):
            return
        held = zip(self._leaves, self._arrays, strict=True)
        changed = [(tensor, array) for tensor, array in held if tensor.data is not array]
        if any(tensor.type != array_type(a) for tensor, a in changed):
            self._start(learning)
        else:  # somebody gave a parameter another array: its numbers move into ours
            for tensor, array in changed:
                np.copyto(array, tensor.numpy())
                tensor.data = array

    def _start(self, learning: list[bool]) -> None:
        program = Program(self.model, self.loss, self.optimizer, self.options)
        state = self.optimizer.state
        for name, slots in program.state.items():
            for slot, tensor in slots.items():
                tensor.data = state[name][slot]
        for name, tensor in program.averages.items():
            if name not in self._averages:
                self._averages[name] = np.array(self.optimizer.parameters[name].numpy())
            tensor.data = self._averages[name]
        self._leaves = [tensor for _, tensor in program.leaves()]
        self._arrays = [own(tensor) for tensor in self._leaves]
        self._program, self._learning = program, learning
        self._runners.clear()

    # Both ways of running

    def _make_plan(self, types: Any) -> Plan:
        assert self._program is not None
        graph = trace_step(self._program, types)
        return self._runners.backend.plan(graph, resident(graph, len(self._arrays)))

    def _run_eagerly(self, batch: Any, scalars: list[np.ndarray]) -> dict[str, np.ndarray]:
        assert self._program is not None
        try:
            with set_recording(True), np.errstate(all="ignore"):
                seed, step, lr = map(Tensor, scalars)
                results = self._program(batch, seed, step, lr, by_tape)
            for tensor, array in zip(self._leaves, self._arrays, strict=True):
                if tensor.data is not array:
                    np.copyto(array, tensor.data)
        finally:
            for tensor, array in zip(self._leaves, self._arrays, strict=True):
                tensor.data = array
        return {name: tensor.numpy() for name, tensor in results.items()}


def trace_step(program: Program, types: Any) -> Graph:
    """The graph of a step on a batch of the given types; scalars and leaves are its last inputs."""

    def step(batch: Any, seed: Tensor, step: Tensor, lr: Tensor) -> dict[str, Tensor]:
        return program(batch, seed, step, lr, by_graph)

    with set_recording(True):
        return trace(step, types, *SCALARS, bound=dict(program.leaves()))


def resident(graph: Graph, leaves: int) -> range:
    """The inputs of a step that stay in memory of their own: all but the batch."""
    return range(len(graph.inputs) - leaves - len(SCALARS), len(graph.inputs))


def _scalars(seed: int, step: int, lr: float) -> list[np.ndarray]:
    return [np.asarray(n, t.dtype) for n, t in zip((seed, step, lr), SCALARS, strict=True)]


def _part(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {n.removeprefix(prefix): a for n, a in state.items() if n.startswith(prefix)}
