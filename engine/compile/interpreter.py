"""Running a plan with NumPy: every launch is prepared once, with its arrays in hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from engine import aligned
from engine.compile.plan import Launch, Plan, Slot
from engine.errors import GraphError
from engine.ir.graph import TensorType
from engine.ops.registry import outputs_of

Task = Callable[[], Any]


class Interpreter:
    """A plan with its memory. `run` may be called any number of times, by one thread at a time.

    residents: an array for each input of the plan that is not in the arena, by index. They must
        be in C order; those that the plan updates are written to.
    arena: memory to work in, shared with plans that do not run at the same time.
    """

    def __init__(
        self, plan: Plan, residents: Mapping[int, np.ndarray], arena: np.ndarray | None = None
    ) -> None:
        self.plan = plan
        self._memory = [
            self._memory_of(index, residents, arena) for index in range(len(plan.buffers))
        ]
        self._views: dict[Slot, np.ndarray] = {}
        self._scratch = Scratch()
        self._fed = [
            (index, self._view(slot))
            for index, slot in enumerate(plan.inputs)
            if plan.buffers[slot.place.buffer].kind == "arena"
        ]
        self._results = [self._view(slot) for slot in plan.results]
        self.names = [slot.name for slot in plan.results]
        self._prepare()

    def _prepare(self) -> None:
        self._tasks = [self._task(launch) for launch in self.plan.launches]

    def run(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Run once, on the inputs that are not resident, which come first; the results.

        They are views of memory that the next run writes to: copy what is to be kept.
        """
        self.feed(inputs)
        with np.errstate(all="ignore"):
            task = None
            try:
                for task in self._tasks:
                    task()
            except Exception as error:
                self._note(error, next(i for i, t in enumerate(self._tasks) if t is task))
                raise
        return self._results

    def feed(self, inputs: Sequence[Any]) -> None:
        """Put the inputs that are not resident where the plan reads them."""
        for index, view in self._fed:
            self._put(index, view, inputs[index])

    def _put(self, index: int, view: np.ndarray, array: Any) -> None:
        if array.dtype != view.dtype:
            name = self.plan.inputs[index].name
            raise TypeError(f"{name} must be {view.dtype.name}, got {array.dtype.name}")
        view[...] = array

    def spent(self, inputs: Sequence[Any]) -> dict[int, float]:
        """Run once; the seconds that each launch took."""
        self.feed(inputs)
        found: dict[int, float] = {}
        with np.errstate(all="ignore"):
            for index, task in enumerate(self._tasks):
                start = perf_counter()
                task()
                found[index] = perf_counter() - start
        return found

    def _note(self, error: Exception, index: int) -> None:
        launch = self.plan.launches[index]
        types = ", ".join(str(slot.type) for slot in launch.inputs)
        error.add_note(f"in launch {index}, {launch.name}({types}) of {launch.origin.scope!r}")

    def _memory_of(
        self, index: int, residents: Mapping[int, np.ndarray], arena: np.ndarray | None
    ) -> np.ndarray:
        buffer = self.plan.buffers[index]
        if buffer.kind == "constant":
            return np.asarray(buffer.array)
        if buffer.kind == "input":
            slot = self.plan.inputs[buffer.index]
            return _checked(residents[buffer.index], slot, buffer.index in self.plan.updates)
        if arena is None:
            return aligned.memory(buffer.nbytes)
        if arena.nbytes < buffer.nbytes:
            raise GraphError(f"the arena has {arena.nbytes} bytes, {buffer.nbytes} are needed")
        return arena

    def _view(self, slot: Slot) -> np.ndarray:
        found = self._views.get(slot)
        if found is None:
            memory = self._memory[slot.place.buffer]
            found = self._views[slot] = view(memory, slot)
        return found

    def _task(self, launch: Launch) -> Task:
        inputs = [self._view(slot) for slot in launch.inputs]
        outputs = [self._view(slot) for slot in launch.outputs]
        if launch.op is None:
            return partial(np.copyto, outputs[0], inputs[0])
        if launch.op.bind is not None:
            return launch.op.bind(inputs, outputs, self._scratch, **launch.attrs)
        run = partial(launch.op.ref, *inputs, **launch.attrs)
        if launch.op.into:
            return partial(run, out=outputs[0] if len(outputs) == 1 else tuple(outputs))
        return _copying(run, outputs)


class Scratch:
    """Memory that tasks use while they run; as they run one by one, all use the same."""

    def __init__(self) -> None:
        self._lent: dict[int, np.ndarray] = {}

    def __call__(self, place: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        nbytes = TensorType(shape, dtype).nbytes
        held = self._lent.get(place)
        if held is None or held.nbytes < nbytes:
            held = self._lent[place] = aligned.memory(nbytes)
        return held[:nbytes].view(dtype).reshape(shape)


class _Window:
    """What NumPy asks of a part of some memory; keeps the memory alive."""

    def __init__(self, memory: np.ndarray, slot: Slot) -> None:
        self.memory = memory
        start, read_only = memory.__array_interface__["data"]
        self.__array_interface__ = {
            "version": 3,
            "data": (start + slot.place.offset, read_only),
            "shape": slot.type.shape,
            "strides": slot.place.strides,
            "typestr": slot.type.dtype.str,
        }


def view(memory: np.ndarray, slot: Slot) -> np.ndarray:
    """The tensor at its place in some memory."""
    return np.asarray(_Window(memory, slot))


def _copying(run: Task, outputs: Sequence[np.ndarray]) -> Task:
    """For operations that cannot fill given arrays."""

    def task() -> None:
        for target, result in zip(outputs, outputs_of(run()), strict=True):
            target[...] = result

    return task


def _checked(array: np.ndarray, slot: Slot, updated: bool) -> np.ndarray:
    if TensorType(array.shape, array.dtype) != slot.type:
        raise GraphError(f"{slot.name} is {array.dtype.name}{list(array.shape)}, not {slot.type}")
    if not array.flags.c_contiguous or (updated and not array.flags.writeable):
        raise GraphError(f"{slot.name} must be in C order{' and writable' if updated else ''}")
    return array
