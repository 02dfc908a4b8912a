"""Which thread begins with which parts of a wave.

What another processor wrote takes several times as long to read, and what it has read to write: far
longer yet where processors share no cache. So a thread works on the same share of all tensors, and
on all of those that are its alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.backend.cpu.code import Address, Call, Code, Wave

#: Operations of a call that is small.
SMALL = 1_000_000
#: Threads that the runtime deals parts to: MOST_THREADS of `runtime.c`.
MOST_STRETCHES = 64
#: How much more than its share of a wave a thread may get with a call that it does alone.
OVER = 1.1

#: A tensor: where it lies, and its bytes.
Tensor = tuple[Address, int]
#: For each thread, the parts that it begins with, counted through all calls of a wave.
Dealt = list[list[int]]


@dataclass(frozen=True, slots=True)
class Tensors:
    """Those of a launch."""

    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]


def tensors_of(code: Code) -> list[Tensors]:
    """Those of each launch."""
    found = []
    for addresses, nbytes, inputs in zip(code.addresses, code.nbytes, code.inputs, strict=True):
        places = [(buffer, offset) for buffer, offset in addresses]
        tensors = list(zip(places, nbytes, strict=True))
        found.append(Tensors(tensors[:inputs], tensors[inputs:]))
    return found


def deal(waves: Sequence[Wave], threads: int, tensors: Sequence[Tensors]) -> list[Dealt]:
    """Deal waves that run in this order, again and again. tensors: of each launch.

    Of a call all threads take some parts, in order. One whose tensors are mostly one thread's alone
    is left to that thread, and a small one of whose tensors nothing is known to any, if there is as
    much for the others.
    """
    readers = _readers(waves, tensors)
    first = _Round(threads, tensors, readers)
    for wave in waves:
        first.deal(wave)
    # Now it is known who will read what a call makes, and who had what lasts from run to run.
    second = _Round(threads, tensors, readers, first.homes, first.doers)
    return [second.deal(wave) for wave in waves]


def _readers(waves: Sequence[Wave], tensors: Sequence[Tensors]) -> dict[int, list[int]]:
    """The launches that read what a launch makes."""
    found: dict[int, list[int]] = {}
    writers: dict[Address, int] = {}
    for wave in waves:
        for call in wave.calls:
            for address, _ in tensors[call.launch].inputs:
                if address in writers:
                    found.setdefault(writers[address], []).append(call.launch)
        for call in wave.calls:
            writers.update((address, call.launch) for address, _ in tensors[call.launch].outputs)
    return found


@dataclass(slots=True)
class _Round:
    """homes: who made the tensor at an address last; doers: who did a launch. None: all of them."""

    threads: int
    tensors: Sequence[Tensors]
    readers: dict[int, list[int]]
    homes: dict[Address, int | None] = field(default_factory=dict)
    doers: dict[int, int | None] = field(default_factory=dict)

    def deal(self, wave: Wave) -> Dealt:
        if wave.alone:
            for call in wave.calls:
                self._note(call, 0)
            return []
        count = min(self.threads, sum(call.parts for call in wave.calls), MOST_STRETCHES)
        found: Dealt = [[] for _ in range(count)]
        loads = [0] * count
        most = OVER * sum(call.parts * call.work for call in wave.calls) / count
        first = 0
        for call in wave.calls:
            doer = self._doer(call, loads, most)
            if doer is not None:
                shares = {doer: call.parts}
            else:
                each, rest = divmod(call.parts, count)
                eager = sorted(range(count), key=loads.__getitem__)[:rest] if rest else ()
                shares = {thread: each + (thread in eager) for thread in range(count)}
            for thread, some in shares.items():
                found[thread] += range(first, first + some)
                loads[thread] += some * call.work
                first += some
            self._note(call, doer)
        return found

    def _doer(self, call: Call, loads: Sequence[int], most: float) -> int | None:
        """Who does all of a call, of the threads that have the time for it, if anybody."""
        work = call.parts * call.work
        if min(loads) + work > most:
            return None
        bytes_of = self._bytes(call.launch)
        fit = (thread for thread, load in enumerate(loads) if load + work <= most)
        nearest = max(fit, key=lambda thread: (bytes_of.get(thread, 0), -loads[thread]))
        its = bytes_of.get(nearest, 0)
        others = sum(bytes_of.values()) - its
        is_near = its > others or (work <= SMALL and (its == others or call.parts == 1))
        return nearest if is_near else None

    def _bytes(self, launch: int) -> dict[int | None, int]:
        """How many bytes of what a launch reads and makes are whose."""
        found: dict[int | None, int] = {}
        inputs, outputs = self.tensors[launch].inputs, self.tensors[launch].outputs
        for address, nbytes in (*inputs, *outputs):
            if address in self.homes:
                home = self.homes[address]
                found[home] = found.get(home, 0) + nbytes
        made = sum(nbytes for _, nbytes in outputs)
        for reader in self.readers.get(launch, ()):
            if reader != launch and reader in self.doers:
                doer = self.doers[reader]
                found[doer] = found.get(doer, 0) + 2 * made  # it is read, and then written anew
        return found

    def _note(self, call: Call, doer: int | None) -> None:
        self.doers[call.launch] = doer
        for address, _ in self.tensors[call.launch].outputs:
            self.homes[address] = doer
