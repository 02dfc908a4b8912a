"""What a job will be and cost, told before it queues: every layer, every number, every problem.

Only the dataset's profile is read, nothing is allocated and no device is needed.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.errors import Invalid, Problem
from core.settings import Settings
from engine.errors import EngineError
from spec import costs, feasibility
from spec.assembly import Assembly, assemble
from spec.data.check import check
from spec.data.profile import DataProfile
from spec.data.shapes import PartRows
from spec.feasibility import Facts
from spec.jobs import JobSpec
from spec.limits import Limits
from spec.network import Network


class Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PlannedLayer(Record):
    """One layer. Shapes and flops are those of one row; flops count the forward pass."""

    path: str
    name: str
    kind: str
    input_shapes: list[list[int]]
    output_shape: list[int]
    parameters: int
    flops: int


class Bytes(Record):
    """Memory while training. peak: the most of all of it at one time."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    batch: int
    peak: int


class Estimate(Record):
    """How the seconds were estimated: flops / flops_per_second + seconds_per_step for each step."""

    device: str
    flops_per_second: float
    seconds_per_step: float
    basis: str


class Warning_(Record):
    pointer: str
    code: str
    detail: str
    hint: str | None = None


class Plan(Record):
    """What a job will be; JSON both ways."""

    model: dict[str, Any] = Field(description="The model, a blueprint expanded.")
    layers: list[PlannedLayer]
    inputs: dict[str, list[int]]
    output_shape: list[int]
    rows: PartRows
    batch_size: int
    parameters: int
    flops_per_step: int
    bytes: Bytes
    steps_per_epoch: int
    total_steps: int
    epochs: int
    seconds_per_epoch: float
    estimate: Estimate
    warnings: list[Warning_]

    def document(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Plan:
        return cls.model_validate(document)


def plan(spec: JobSpec, profile: DataProfile, *, limits: Limits | Settings | None = None) -> Plan:
    """The plan of a job on a dataset with that profile.

    Raises Invalid with every problem of data, model, training and limits at once.
    """
    bounds = Limits.of(limits) if isinstance(limits, Settings) else limits or Limits()
    problems = check(spec.data, profile)
    facts = feasibility.facts(spec.data, profile, problems)
    assembly = assemble(spec.model, facts.entries, facts.outputs)
    problems += assembly.problems
    problems += feasibility.of_model(assembly, facts, bounds)
    problems += feasibility.of_training(spec, facts, assembly, bounds)
    if problems:
        raise Invalid(problems)
    assert assembly.network is not None
    assert facts.rows is not None
    budget = feasibility.budget(spec, facts.rows.train)
    cost = _cost(spec, assembly.network, facts, budget.batch_size)
    over = list(feasibility.of_memory(cost.bytes["peak"], bounds))
    if over:
        raise Invalid(over)
    return _plan(spec, facts, assembly, cost, _warnings(spec, facts, bounds))


def _plan(
    spec: JobSpec,
    facts: Facts,
    assembly: Assembly,
    cost: costs.Cost,
    warnings: list[Warning_],
) -> Plan:
    assert assembly.model is not None
    assert assembly.output is not None
    assert facts.rows is not None
    budget = feasibility.budget(spec, facts.rows.train)
    seconds, estimate = costs.seconds(cost.flops, spec.resources.device)
    return Plan(
        model=assembly.model.model_dump(mode="json", by_alias=True, exclude_none=True),
        layers=[PlannedLayer(**asdict(line)) for line in assembly.lines],
        inputs={name: list(one.signal.shape) for name, one in facts.known().items()},
        output_shape=list(assembly.output.shape),
        rows=facts.rows,
        batch_size=budget.batch_size,
        parameters=sum(line.parameters for line in assembly.lines),
        flops_per_step=cost.flops,
        bytes=Bytes(**cost.bytes),
        steps_per_epoch=budget.steps_per_epoch,
        total_steps=budget.total_steps,
        epochs=budget.epochs,
        seconds_per_epoch=seconds * budget.steps_per_epoch,
        estimate=Estimate(**estimate),
        warnings=warnings,
    )


def _cost(spec: JobSpec, network: Network, facts: Facts, rows: int) -> costs.Cost:
    try:
        return costs.of_step(spec, network, facts, rows)
    except EngineError as error:
        raise Invalid([Problem("/model", "misfit", f"a training step fails: {error}")]) from error


def _warnings(spec: JobSpec, facts: Facts, limits: Limits) -> list[Warning_]:
    found = feasibility.warnings(spec, facts, limits)
    return [
        Warning_(pointer=one.pointer, code=one.code, detail=one.detail, hint=one.hint)
        for one in found
    ]
