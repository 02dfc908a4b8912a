"""What a spec's training step is compiled to: `python -m engine.compile explain SPEC.yaml`.

The data is a file (`--data table.csv`), of which the profile is taken, or shapes said by hand
(`--input image=1x8x8 --classes 10 --rows 1000`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import Invalid
from engine.compile import TrainStep
from engine.compile.explain import MOST_LINES, Explanation, explain
from engine.compile.listing import text
from engine.ir.graph import TensorType
from spec import documents, feasibility, jobs
from spec.assembly import assemble
from spec.costs import batch_types
from spec.data.check import check
from spec.data.profile import DataProfile, profile
from spec.data.shapes import DataShapes, InputShape, PartRows, TargetShape, shapes
from spec.data.sources import DataFile
from spec.jobs import JobSpec
from spec.network import Network
from spec.objective import Objective

#: Kernels and blocks that an answer over HTTP lists.
ANSWERED = 500
RUNS = 20

__all__ = ["Explanation", "main", "of_profile"]


def of_profile(spec: JobSpec, found: DataProfile, *, most: int = ANSWERED) -> Explanation:
    """The step of a spec that was planned on this profile: nothing is compiled or allocated."""
    return _Step(spec, shapes(spec.data, found)).explain(most=most)


class _Step:
    """The training step of a spec for data of known shapes, its weights not filled."""

    def __init__(self, spec: JobSpec, found: DataShapes) -> None:
        facts = feasibility.facts_of(spec.data, found)
        assembly = assemble(spec.model, facts.entries, facts.outputs)
        if assembly.network is None or spec.train.loss is None:
            raise Invalid(assembly.problems)
        self._spec = spec
        self._network: Network = assembly.network
        self._objective = Objective(spec.train.loss)
        rows = feasibility.budget(spec, found.rows.train).batch_size
        self._types = batch_types(facts, rows)

    def explain(self, *, graphs: bool = False, most: int = MOST_LINES) -> Explanation:
        return explain(
            self._network, self._objective, self._optimizer(), self._types,
            graphs=graphs, most=most, **self._options(),
        )  # fmt: skip

    def measure(self) -> dict[int, float]:
        """Seconds of each launch, the least of some runs on random rows."""
        network = self._network.init(self._spec.train.seed)
        step = TrainStep(
            network, self._objective, self._optimizer(network),
            threads=self._spec.resources.threads, seed=0, **self._options(),
        )  # fmt: skip
        return step.measure({n: _rows(t) for n, t in self._types.items()}, runs=RUNS)

    def _optimizer(self, network: Network | None = None) -> Any:
        return self._spec.train.optimizer.make((network or self._network).named_parameters())

    def _options(self) -> dict[str, Any]:
        train = self._spec.train
        return {"clip_norm": train.clip_norm, "accumulate": train.accumulate, "ema": train.ema}


def _rows(kind: TensorType) -> np.ndarray:
    """Some rows: numbers near zero, and the first category."""
    if kind.dtype.kind == "f":
        return np.random.default_rng(0).standard_normal(kind.shape).astype(kind.dtype)
    return np.zeros(kind.shape, kind.dtype)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where the spec has problems, which are told."""
    given = _parser().parse_args(arguments)
    try:
        kind: documents.Format = "json" if given.spec.suffix == ".json" else "yaml"
        spec = jobs.parse(documents.load(given.spec.read_bytes(), format=kind))
        step = _Step(spec, _shapes(spec, given))
    except Invalid as error:
        for problem in error.problems:
            sys.stderr.write(f"{problem.pointer}: {problem.detail}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    found = step.explain(graphs=given.graphs)
    if given.time:
        found = found.timed(step.measure())
    shown = json.dumps(found.to_json(), indent=2) if given.json else text(found)
    sys.stdout.write(shown + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.compile explain", description=__doc__)
    parser.add_argument("spec", type=Path, help="a job spec, YAML or JSON")
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="the files of its dataset")
    parser.add_argument(
        "--input", action="append", default=[], metavar="NAME=1x8x8", help="the shape of a row"
    )
    parser.add_argument("--classes", type=int, help="of the target, where it is a category")
    parser.add_argument("--rows", type=int, default=100_000, help="that are trained on")
    parser.add_argument("--graphs", action="store_true", help="list the graph after each pass")
    parser.add_argument("--time", action="store_true", help="compile it and time each kernel")
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _shapes(spec: JobSpec, given: argparse.Namespace) -> DataShapes:
    if given.data:
        found = profile([DataFile(path.name, path) for path in given.data])
        problems = check(spec.data, found)
        if problems:
            raise Invalid(problems)
        return shapes(spec.data, found)
    said = dict(one.split("=", 1) for one in given.input if "=" in one)
    missing = [name for name in spec.data.inputs if name not in said]
    if missing:
        sys.exit(f"say --data FILE, or the shape of {', '.join(missing)}: --input NAME=1x8x8")
    inputs = {name: _input(spec, name, said[name]) for name in spec.data.inputs}
    kind = spec.data.target.type
    if kind == "category" and not given.classes:
        sys.exit("the target is a category: say --classes N, or --data FILE")
    number = kind == "number"
    target = TargetShape(
        type=kind,
        shape=[1] if number else [],
        dtype="float32" if number else "int64",
        classes=None if number else given.classes,
    )
    rows = PartRows(train=given.rows, validation=0, test=0)
    return DataShapes(inputs=inputs, target=target, rows=rows)


def _input(spec: JobSpec, name: str, said: str) -> InputShape:
    """`1x8x8`, or for a category how many values it has."""
    given = spec.data.inputs[name]
    try:
        sizes = [int(part) for part in said.split("x")]
    except ValueError:
        sys.exit(f"--input {name}={said}: numbers with x between them were expected, such as 1x8x8")
    if given.type == "category":
        one_hot, embedding = given.one_hot, given.embedding
        return InputShape(
            type="category", shape=[], dtype="int64", cardinality=sizes[0],
            one_hot=one_hot, embedding=embedding,
        )  # fmt: skip
    return InputShape(type=given.type, shape=sizes, dtype="float32")


if __name__ == "__main__":
    sys.exit(main())
