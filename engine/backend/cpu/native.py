"""Running a plan as C: generated, compiled and bound once, then one call a step.

Launches without C run by their reference, between compiled segments of the same plan.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, cached_property, partial
from itertools import accumulate
from time import perf_counter
from typing import Any

import numpy as np

from engine import aligned
from engine.backend.cpu import blas, recall, toolchain
from engine.backend.cpu.borrowed import Borrowed
from engine.backend.cpu.code import Call, Wave
from engine.backend.cpu.dealing import Dealt, deal, tensors_of
from engine.backend.cpu.pace import Pace
from engine.backend.cpu.schedule import LINE, work_of
from engine.compile.interpreter import Interpreter, Task
from engine.compile.plan import Plan
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
        ("order", ctypes.c_void_p),
        ("stops", ctypes.c_void_p),
        ("stretches", ctypes.c_int64),
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
        on_fault: Callable[[str], None] | None = None,
    ) -> None:
        """on_fault: told why, where a kernel would not do what its reference does."""
        super().__init__(plan, residents, arena)
        self.threads, self._on_fault = threads, on_fault
        self._runtime = runtime(chain)
        self.code, self._library = recall.code_of(plan, chain)
        self._blas = blas.find()
        self._library.gw_bind(
            ctypes.c_void_p(self._blas.sgemm if self._blas else None),
            ctypes.c_void_p(self._blas.dgemm if self._blas else None),
            ctypes.c_void_p(self._runtime.gw_refusals()),
        )
        self._references: dict[int, Task] = {}
        self._tables: dict[tuple[int, int, tuple[int, ...]], Any] = {}
        self._workspace = aligned.memory(self.code.scratch + LINE)
        self._kept = [
            aligned.zeros((nbytes,), np.dtype(np.uint8)) if nbytes else None
            for nbytes in self.code.kept
        ]
        self.tensors = tensors_of(self.code)
        self._segments = [
            segment if isinstance(segment, int) else _Segment(self, segment)
            for segment in self.code.segments
        ]
        self._borrowed = self._borrow()
        self._given: Sequence[Any] = ()  # the inputs of the run that is under way
        only = self._segments[0] if len(self._segments) == 1 else None
        self._whole = only if isinstance(only, _Segment) else None

    @property
    def compiled(self) -> int:
        """How many launches run as C."""
        return len(self.code.addresses) - len(self.code.references)

    def run(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        self.feed(inputs)
        if self._whole is not None:
            self._whole(None)
        else:
            with self.around_references():
                for segment in self._segments:
                    if isinstance(segment, int):
                        self._refer(segment)
                    else:
                        segment(None)
        self._given = ()
        return self._results

    def timed(self, inputs: Sequence[Any]) -> list[tuple[list[int], float]]:
        """Run once; the launches of every wave and the seconds it took (references: one each)."""
        self.feed(inputs)
        found: list[tuple[list[int], float]] = []
        with self.around_references():
            for segment in self._segments:
                if isinstance(segment, int):
                    start = perf_counter()
                    self._refer(segment)
                    found.append(([segment], perf_counter() - start))
                else:
                    spent = (ctypes.c_double * len(segment.waves))()
                    segment(spent)
                    found += [
                        ([call.launch for call in wave.calls], seconds)
                        for wave, seconds in zip(segment.waves, spent, strict=True)
                    ]
        return found

    def feed(self, inputs: Sequence[Any]) -> None:
        super().feed(inputs)
        for borrowed in self._borrowed:
            array = inputs[borrowed.index]
            if not borrowed.turn_to(array):
                self._put(borrowed.index, borrowed.view, array)
        self._given = inputs

    def _borrow(self) -> list[Borrowed]:
        """Inputs that are not copied any more."""
        views = dict(self._fed)
        self._fed = [(index, view) for index, view in self._fed if index not in self.code.readers]
        tables: dict[int, list[Any]] = {}
        for (launch, _, _), table in self._tables.items():
            tables.setdefault(launch, []).append(table)
        return [
            Borrowed(index, views[index], readers, [tables[launch] for launch, _, _ in readers])
            for index, readers in self.code.readers.items()
        ]

    def _prepare(self) -> None:
        """References are prepared when they are first asked for: most never are."""

    def spent(self, inputs: Sequence[Any]) -> dict[int, float]:
        """Run once; the seconds of each launch. Those of one wave share its time by their work."""
        found: dict[int, float] = {}
        for launches, seconds in self.timed(inputs):
            work = {index: work_of(self.plan.launches[index]) + 1 for index in launches}
            for index, amount in work.items():
                part = seconds * amount / sum(work.values())
                found[index] = found.get(index, 0.0) + part
        return found

    @contextmanager
    def around_references(self) -> Iterator[None]:
        with self._blas.one_thread() if self._blas else nullcontext(), np.errstate(all="ignore"):
            yield

    def _refer(self, index: int) -> None:
        """Run a launch by its reference."""
        task = self._references.get(index)
        if task is None:
            task = self._references[index] = self._task(self.plan.launches[index])
        try:
            task()
        except Exception as error:
            self._note(error, index)
            raise

    def record(self, call: Call, first: int) -> _Launch:
        """A call as the runtime has it."""
        return _Launch(
            ctypes.cast(getattr(self._library, call.function), ctypes.c_void_p).value,
            ctypes.addressof(self._table(call)),
            call.parts,
            first,
        )

    def _table(self, call: Call) -> Any:
        """The addresses of a launch's tensors, of its scratch memory and of what it keeps; then
        the numbers that the call reads."""
        key = (call.launch, call.scratch, tuple(call.numbers))
        if key not in self._tables:
            found = [self._starts[b] + offset for b, offset in self.code.addresses[call.launch]]
            found.append(self._workspace.ctypes.data + call.scratch)
            kept = self._kept[call.launch]
            found.append(kept.ctypes.data if kept is not None else 0)
            found += call.numbers
            self._tables[key] = (ctypes.c_void_p * len(found))(*found)
        return self._tables[key]

    @cached_property
    def _starts(self) -> list[int]:
        return [memory.__array_interface__["data"][0] for memory in self._memory]

    def refused(self, waves: list[Wave], at: int) -> None:
        """Let the references of wave `at` say what a kernel would not work on.

        Where they do not mind, references do what is left of these waves as well.
        """
        refusing = sorted({call.launch for call in waves[at].calls if call.refuses})
        ahead = {call.launch for wave in waves[at:] for call in wave.calls}
        for borrowed in self._borrowed:
            borrowed.give_back(self._given[borrowed.index], ahead)
        for launch in refusing:
            self._refer(launch)
        left = {call.launch for wave in waves[at + 1 :] for call in wave.calls}
        for launch in sorted(left.difference(refusing)):
            self._refer(launch)
        names = ", ".join(sorted({self.plan.launches[launch].name for launch in refusing}))
        reason = f"a kernel of {names} refused numbers that its reference takes"
        if self._on_fault is None:
            raise GraphError(reason)
        self._on_fault(reason)


class _Segment:
    """Waves that run in one call."""

    def __init__(self, owner: Native, waves: list[Wave]) -> None:
        self.waves, self._owner = waves, owner
        self._kept: list[Any] = []
        dealt = deal(waves, owner.threads, owner.tensors)
        table = (_Wave * len(waves))(*map(self._wave, waves, dealt))
        self._kept.append(table)
        count, threads = ctypes.c_int64(len(waves)), ctypes.c_int(owner.threads)
        execute = partial(owner._runtime.gw_execute, ctypes.byref(table), count)
        self._timed = partial(execute, threads)
        together, alone = partial(execute, threads, None), partial(execute, ctypes.c_int(1), None)
        self._call = Pace(alone, together) if owner.threads > 1 else together

    def __call__(self, spent: Any) -> None:
        done = self._call() if spent is None else self._timed(spent)
        if done < len(self.waves):
            with self._owner.around_references():
                self._owner.refused(self.waves, done)

    def _wave(self, wave: Wave, dealt: Dealt) -> _Wave:
        first, records = 0, []
        for call in wave.calls:
            records.append(self._owner.record(call, first))
            first += call.parts
        table = (_Launch * len(records))(*records)
        order = (ctypes.c_int64 * first)(*(part for found in dealt for part in found))
        stops = (ctypes.c_int64 * len(dealt))(*accumulate(map(len, dealt)))
        self._kept += [table, order, stops]
        return _Wave(
            ctypes.addressof(table), len(records), first, wave.alone,
            ctypes.addressof(order), ctypes.addressof(stops), len(dealt),
        )  # fmt: skip


@cache
def runtime(chain: toolchain.Toolchain) -> ctypes.CDLL:
    """The thread pool, compiled once and loaded once in a process."""
    library = toolchain.start(chain)
    library.gw_execute.restype = ctypes.c_int64
    library.gw_refusals.restype = ctypes.c_void_p
    found = blas.find()
    if found is not None:
        library.gw_bind_blas(ctypes.c_void_p(found.threads), ctypes.c_void_p(found.set_threads))
    return library
