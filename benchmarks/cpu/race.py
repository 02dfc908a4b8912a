"""Peers take turns: one process each, round by round, on the same processors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cpu.rows import Row

ROOT = Path(__file__).parent.parent.parent
#: How many steps losses are compared over.
CHECKED = 50
#: Between turns, so that the threads of the one before have gone to sleep.
PAUSE = 0.05


@dataclass(frozen=True)
class Effort:
    """rounds: turns of each peer; seconds: how long one turn lasts, at least one call.

    all_variants: whether each peer's settings are tried, or only the first.
    """

    rounds: int = 15
    seconds: float = 0.25
    all_variants: bool = True
    trials: int = 3


@dataclass
class Result:
    """What became of a peer in a row."""

    times: list[float] = field(default_factory=list)
    results: list[list[float]] = field(default_factory=list)
    variant: str = ""
    variants: dict[str, float] = field(default_factory=dict)
    backend: str = ""
    error: str = ""

    @property
    def best_ms(self) -> float | None:
        return min(self.times) if self.times else None

    @property
    def median_ms(self) -> float | None:
        return median(self.times) if self.times else None


class Peer:
    """A worker process; `ask` raises PeerError with its words where it fails."""

    def __init__(
        self,
        name: str,
        variant: str,
        row: Row,
        threads: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.variant = name, variant
        self._noise = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by close)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.cpu.worker", name, variant, row.name, str(threads)],
            cwd=ROOT,
            env={**os.environ, **limits(threads), **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            text=True,
        )
        self.calls = 1
        self._listen()

    def ask(self, do: str, count: int = 1) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, "count": count}) + "\n")
        self._process.stdin.flush()
        return self._listen()

    def time(self) -> float:
        time.sleep(PAUSE)
        found: float = self.ask("time", self.calls)["ms"]
        return found

    def warm_up(self, seconds: float) -> None:
        """Run for about as long as a turn, and learn how many calls one takes."""
        self.calls = max(1, round(seconds * 1e3 / self.time()))
        self.calls = max(1, round(seconds * 1e3 / self.time()))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._process.stdin, self._process.stdout, self._noise:
            pass
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            told = self._last_words()
            self.close()
            raise PeerError(f"{self.name} ({self.variant}): {told}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._noise.seek(0)
        lines = self._noise.read().strip().splitlines()
        return lines[-1] if lines else f"ended with {code}"


class PeerError(RuntimeError):
    """A peer could not do the work of a row."""


def limits(threads: int) -> dict[str, str]:
    """The settings by which the libraries know how many threads they may have."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "GRADWORKS_THREADS")
    return dict.fromkeys(names, str(threads))


def run(row: Row, variants: Mapping[str, tuple[str, ...]], effort: Effort, threads: int) -> Results:
    """Every peer of a row: checked, then timed in turns."""
    found = {name: Result() for name in variants}
    with ExitStack() as stack:
        ready: dict[str, Peer] = {}
        for name, known in variants.items():
            peer = best_variant(row, name, known, effort, threads, found[name])
            if peer is not None:
                ready[name] = peer
                stack.callback(peer.close)
        for _ in range(effort.rounds):
            for name, peer in [*ready.items()]:
                try:
                    found[name].times.append(peer.time())
                except PeerError as error:
                    found[name].error = str(error)
                    del ready[name]
    return found


Results = dict[str, Result]


def best_variant(
    row: Row, name: str, variants: tuple[str, ...], effort: Effort, threads: int, into: Result
) -> Peer | None:
    """The peer in its fastest setting, warm, with the losses of its first steps."""
    running: dict[str, Peer] = {}
    for variant in variants if effort.all_variants else variants[:1]:
        try:
            peer = Peer(name, variant, row, threads)
            answer = peer.ask("check", CHECKED)
            if answer["backend"].startswith("interpreter"):
                peer.close()
                raise PeerError(f"{name} ({variant}): not compiled, {answer['backend'][:600]}")
            peer.warm_up(effort.seconds)
        except PeerError as error:
            into.error = str(error)
            continue
        running[variant] = peer
        into.results = into.results or answer["results"]
        into.backend = answer["backend"]
    if not running:
        return None
    into.error = ""
    for _ in range(effort.trials if len(running) > 1 else 0):
        for variant, peer in running.items():
            into.variants[variant] = min(peer.time(), into.variants.get(variant, float("inf")))
    into.variant = min(running, key=lambda v: into.variants.get(v, 0.0))
    for variant, peer in running.items():
        if variant != into.variant:
            peer.close()
    return running[into.variant]


def compile_times(row: Row, threads: int, tries: int = 3) -> dict[str, float]:
    """Milliseconds of our first call, one steady call taken off.

    cold: nothing of this model is in the cache; what all models share is. warm: a new process with
    a filled cache. empty: a new machine, on which nothing was ever compiled and nothing started.
    start: finding the compiler and starting the threads, which a process does once, and compiling
    what models share (cold), which a machine does once.
    """
    with folder() as cache:
        cold = first_call(row, threads, cache)
        warm = min(first_call(row, threads, cache) for _ in range(tries))
    with folder() as cache:
        empty = first_call(row, threads, cache, prepared=False)
    return {
        "cold_ms": cold[0],
        "warm_ms": warm[0],
        "empty_ms": empty[0],
        "start_cold_ms": cold[1],
        "start_warm_ms": warm[1],
    }


def folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="gradworks-bench-")


def first_call(row: Row, threads: int, cache: str, *, prepared: bool = True) -> tuple[float, float]:
    """Milliseconds of the first call over a steady one, and of the start before it, if any."""
    with worker("ours", "c", row, threads, {"GRADWORKS_CACHE": cache}) as peer:
        start = peer.ask("start")["ms"] if prepared else 0.0
        first = peer.ask("time")["ms"]
        steady = min(peer.ask("time")["ms"] for _ in range(3))
    return max(0.0, first - steady), start


@contextmanager
def worker(*arguments: Any) -> Iterator[Peer]:
    peer = Peer(*arguments)
    try:
        yield peer
    finally:
        peer.close()
