"""What runs plans: compiled C where there is a compiler, else the interpreter."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from engine.compile.interpreter import Interpreter
from engine.compile.plan import Plan, make_plan
from engine.errors import CompileError
from engine.ir.graph import Graph
from engine.ir.passes.conv_epilogue import end_convolutions
from engine.ir.passes.fuse import fuse
from engine.ir.passes.narrow import narrow_products
from engine.ir.passes.simplify import simplify
from engine.ir.passes.sparse import mark_sparse
from engine.ir.passes.steady import mark_steady
from engine.ir.passes.tables import multiply_tables

if TYPE_CHECKING:
    from engine.backend.cpu.toolchain import Toolchain


class Backend:
    """A choice of back end, and what became of it.

    wanted: "interpreter", or "auto": C if this machine has a compiler that works. Whatever goes
        wrong with it, plans run on the interpreter, and `str(backend)` tells why.
    threads: of compiled plans. GRADWORKS_THREADS, OMP_NUM_THREADS or all processors unless told.
    """

    def __init__(self, wanted: Literal["auto", "interpreter"], threads: int | None = None) -> None:
        self.threads = default_threads() if threads is None else threads
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.wanted = wanted
        self._chain: Toolchain | None = None
        self._reason = ""
        self._looked = wanted == "interpreter"
        self.faults = 0  # how often plans that were bound had to be bound anew

    def __str__(self) -> str:
        chain = self.chain()
        if chain is not None:
            return f"c ({chain.version})"
        return f"interpreter: {self._reason}" if self._reason else "interpreter"

    def chain(self) -> Toolchain | None:
        """The compiler; None where plans are interpreted."""
        if not self._looked:
            self._looked = True
            from engine.backend.cpu import toolchain

            try:
                self._chain = toolchain.find()
            except CompileError as error:
                self._reason = str(error)
            else:
                self._reason = "" if self._chain else toolchain.absence()
        return self._chain

    def plan(self, graph: Graph, resident: Collection[int]) -> Plan:
        """The plan of a traced graph, as this back end would run it; `resident` inputs stay."""
        chain = self.chain()
        if chain is None:
            return make_plan(simplify(graph), resident)
        from engine.backend.cpu import recall

        def make() -> Plan:
            made = simplify(graph)
            made = mark_sparse(end_convolutions(fuse(narrow_products(multiply_tables(made)))))
            return make_plan(mark_steady(made, resident), resident)

        return recall.plan_of(graph, resident, chain, make)

    def bind(
        self, plan: Plan, residents: Mapping[int, np.ndarray], arena: np.ndarray
    ) -> Interpreter:
        """A plan with its memory, ready to run."""
        chain = self.chain()
        if chain is not None:
            from engine.backend.cpu.native import Native

            try:
                return Native(
                    plan, residents, arena,
                    chain=chain, threads=self.threads, on_fault=self._give_up,
                )  # fmt: skip
            except (CompileError, OSError) as error:
                self._give_up(f"{type(error).__name__}: {error}")
        return Interpreter(plan, residents, arena)

    @property
    def fallback(self) -> str:
        """Why plans are interpreted though C was wanted; "" where they are not."""
        return "" if self.chain() is not None else self._reason

    def _give_up(self, reason: str) -> None:
        """From here on plans are interpreted: those that are bound, too."""
        self._chain, self._reason = None, reason
        self.faults += 1


def default_threads() -> int:
    """Threads of compiled plans, where nobody says."""
    for name in ("GRADWORKS_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").partition(",")[0].strip()
        if text.isdecimal() and int(text) > 0:
            return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
