"""Running a plan as C: generated, compiled and bound once, then one call a step.

Launches without C run by their reference, between compiled segments of the same plan.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import Any

import numpy as np

from engine.backend.cpu import blas, toolchain
from engine.backend.cpu.kernels import Kernel
from engine.backend.cpu.schedule import ALONE, LINE, Entry, Schedule, schedule
from engine.backend.cpu.source import Unit, emit
from engine.compile.interpreter import Interpreter, Task, new_arena
from engine.compile.plan import Launch, Plan
from engine.errors import GraphError


class _Launch(ctypes.Structure):
    _fields_ = (
        ("kernel", ctypes.c_void_p),
        ("pointers", ctypes.c_void_p),
        ("parts", ctypes.c_int64),
        ("first", ctypes.c_int64),
    )


class _Wave(ctypes.Structure):
    _fields_ = (
        ("launches", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("parts", ctypes.c_int64),
        ("alone", ctypes.c_int64),
    )


class Native(Interpreter):
    """A plan with its memory, as compiled code. Same use as the interpreter."""

    def __init__(
        self,
        plan: Plan,
        residents: Mapping[int, np.ndarray],
        arena: np.ndarray | None = None,
        *,
        chain: toolchain.Toolchain,
        threads: int = 1,
    ) -> None:
        super().__init__(plan, residents, arena)
        self.threads = threads
        self._unit = Unit([emit(launch) for launch in plan.launches])
        self._runtime = runtime(chain)
        self._library = toolchain.load(chain, self._unit.text)
        self._blas = blas.find()
        self._library.gw_bind(
            ctypes.c_void_p(self._blas.sgemm if self._blas else None),
            ctypes.c_void_p(self._blas.dgemm if self._blas else None),
            ctypes.c_void_p(self._runtime.gw_refusals()),
        )
        self._tables: dict[tuple[int, int], Any] = {}
        self._workspace = new_arena(0)
        self._segments = self._cut()
        only = self._segments[0] if len(self._segments) == 1 else None
        self._whole = only if isinstance(only, _Segment) else None

    @property
    def compiled(self) -> int:
        """How many launches run as C."""
        return sum(kernel is not None for kernel in self._unit.kernels)

    def run(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        for index, view in self._fed:
            np.copyto(view, inputs[index], casting="no")
        if self._whole is not None:
            self._whole(None)
            return self._results
        with self._alone(), np.errstate(all="ignore"):
            for segment in self._segments:
                if isinstance(segment, int):
                    self._refer(segment)
                else:
                    segment(None)
        return self._results

    def timed(self, inputs: Sequence[Any]) -> list[tuple[list[int], float]]:
        """Run once; the launches of every wave and the seconds it took (references: one each)."""
        for index, view in self._fed:
            np.copyto(view, inputs[index], casting="no")
        found: list[tuple[list[int], float]] = []
        with self._alone(), np.errstate(all="ignore"):
            for segment in self._segments:
                if isinstance(segment, int):
                    self._refer(segment)
                    found.append(([segment], 0.0))
                else:
                    spent = (ctypes.c_double * len(segment.waves))()
                    segment(spent)
                    found += [
                        ([e.launch for e in wave], seconds)
                        for wave, seconds in zip(segment.waves, spent, strict=True)
                    ]
        return found

    def _task(self, launch: Launch) -> Task:
        """Its reference, prepared when it is first asked for: most never are."""
        made: list[Task] = []

        def task() -> None:
            if not made:
                made.append(Interpreter._task(self, launch))
            made[0]()

        return task

    def _alone(self) -> AbstractContextManager[None]:
        return self._blas.one_thread() if self._blas else nullcontext()

    def _refer(self, index: int) -> None:
        """Run a launch by its reference."""
        task = self._tasks[index]
        try:
            task()
        except Exception as error:
            self._note(error, task)
            raise

    def _cut(self) -> list[_Segment | int]:
        """Compiled segments, and the launches between them."""
        found: list[_Segment | int] = []
        pending: list[tuple[int, Any, Kernel]] = []
        for index, kernel in enumerate(self._unit.kernels):
            if kernel is None:
                if pending:
                    found.append(_Segment(self, schedule(pending)))
                    pending = []
                found.append(index)
            else:
                pending.append((index, self.plan.launches[index], kernel))
        if pending:
            found.append(_Segment(self, schedule(pending)))
        size = max((s.scratch for s in found if isinstance(s, _Segment)), default=0)
        self._workspace = new_arena(size + LINE)
        for segment in found:
            if isinstance(segment, _Segment):
                segment.bind()
        return found

    def record(self, entry: Entry, first: int) -> _Launch:
        """An entry as the runtime has it."""
        kernel = self._unit.kernels[entry.launch]
        assert kernel is not None
        name = self._unit.names[entry.launch][entry.phase]
        return _Launch(
            ctypes.cast(getattr(self._library, name), ctypes.c_void_p).value,
            ctypes.addressof(self._table(entry)),
            kernel.phases[entry.phase].parts,
            first,
        )

    def _table(self, entry: Entry) -> Any:
        """The addresses of a launch's tensors and of its scratch memory."""
        key = (entry.launch, entry.scratch)
        if key not in self._tables:
            launch = self.plan.launches[entry.launch]
            found = [
                self._memory[slot.place.buffer].__array_interface__["data"][0] + slot.place.offset
                for slot in (*launch.inputs, *launch.outputs)
            ]
            found.append(self._workspace.ctypes.data + entry.scratch)
            self._tables[key] = (ctypes.c_void_p * len(found))(*found)
        return self._tables[key]

    def refused(self, wave: list[Entry]) -> None:
        """Let the references of a wave say what a kernel would not work on."""
        for entry in wave:
            kernel = self._unit.kernels[entry.launch]
            if kernel is not None and "GW_REFUSE" in kernel.phases[entry.phase].body:
                self._refer(entry.launch)
        names = [self.plan.launches[entry.launch].name for entry in wave]
        raise GraphError(f"a kernel of {names} refused numbers that its reference takes")


class _Segment:
    """Waves that run in one call."""

    def __init__(self, owner: Native, made: Schedule) -> None:
        self.waves, self.scratch, self._owner = made.waves, made.scratch, owner
        self._call: Callable[..., int] = len
        self._kept: list[Any] = []

    def bind(self) -> None:
        waves = (_Wave * len(self.waves))(*map(self._wave, self.waves))
        self._kept.append(waves)
        execute = self._owner._runtime.gw_execute
        count, threads = ctypes.c_int64(len(waves)), ctypes.c_int(self._owner.threads)
        self._call = partial(execute, ctypes.byref(waves), count, threads)

    def __call__(self, spent: Any) -> None:
        done = self._call(spent)
        if done < len(self.waves):
            self._owner.refused(self.waves[done])

    def _wave(self, entries: list[Entry]) -> _Wave:
        first, records = 0, []
        for entry in entries:
            records.append(self._owner.record(entry, first))
            first += records[-1].parts
        table = (_Launch * len(records))(*records)
        self._kept.append(table)
        alone = first == 1 or sum(entry.work for entry in entries) < ALONE
        return _Wave(ctypes.addressof(table), len(records), first, alone)


@cache
def runtime(chain: toolchain.Toolchain) -> ctypes.CDLL:
    """The thread pool, compiled once and loaded once in a process."""
    library = toolchain.load(chain, (toolchain.RUNTIME / "runtime.c").read_text())
    library.gw_execute.restype = ctypes.c_int64
    library.gw_refusals.restype = ctypes.c_void_p
    found = blas.find()
    if found is not None:
        library.gw_bind_blas(ctypes.c_void_p(found.threads), ctypes.c_void_p(found.set_threads))
    return library
