"""One peer in a process of its own, so that thread pools do not meet.

    python -m benchmarks.cpu.worker PEER VARIANT ROW THREADS

Reads one JSON request a line and answers each with one line: {"do": "check", "count": n},
{"do": "time", "count": n} or {"do": "start"}. An error ends it; the last line on standard error
tells which.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from benchmarks.cpu import rows
from benchmarks.cpu.program import Program
from benchmarks.cpu.rows import Row


def main(peer: str, variant: str, row: str, threads: int) -> None:
    answers = own_output()
    work = Work(load(peer, variant, rows.find(row), threads))
    tell(answers, {"ready": True})
    for line in sys.stdin:
        tell(answers, work.answer(json.loads(line)))


def own_output() -> TextIO:
    """The pipe to who asks; whatever a library prints goes to standard error instead."""
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return pipe


def tell(pipe: TextIO, answer: dict[str, Any]) -> None:
    pipe.write(json.dumps(answer) + "\n")
    pipe.flush()


def load(peer: str, variant: str, row: Row, threads: int) -> Program:
    make: Callable[..., Program]
    if peer == "ours":
        from benchmarks.cpu.ours import program as make
    elif peer == "jax":
        from benchmarks.cpu.jax_peer import program as make
    elif peer == "onnxruntime":
        from benchmarks.cpu.onnx_peer import program as make
    else:
        from benchmarks.cpu.torch_peer import program

        return program(row, variant, threads, compiled=peer == "torch_compile")
    return make(row, variant, threads)


class Work:
    """A program and how far it has come; steps are numbered on through all requests."""

    def __init__(self, program: Program) -> None:
        self.program, self.done = program, 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "check":
            return {"results": self.check(request["count"]), "backend": self.program.backend()}
        if request["do"] == "time":
            return {"ms": self.time(request["count"])}
        started = time.perf_counter()
        self.program.start()
        return {"ms": (time.perf_counter() - started) * 1e3}

    def check(self, count: int) -> list[list[float]]:
        """The numbers that `count` calls give: losses, or outputs."""
        found = []
        for _ in range(count):
            result = self.program.read(self.program.call(self.done))
            found.append(np.ravel(result).astype(float).tolist())
            self.done += 1
        return found

    def time(self, count: int) -> float:
        """Milliseconds a call, over `count` of them."""
        call, first = self.program.call, self.done
        started = time.perf_counter()
        for n in range(first, first + count):
            result = call(n)
        self.program.wait(result)
        spent = time.perf_counter() - started
        self.done += count
        return spent / count * 1e3


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
