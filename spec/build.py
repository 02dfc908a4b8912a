"""A spec and its prepared data become a training: network, loss, optimizer, schedule."""

from __future__ import annotations

from core.errors import Invalid
from engine.compile import TrainStep
from spec.assembly import Assembly, assemble
from spec.data.prepare import Prepared
from spec.data.shapes import DataShapes
from spec.feasibility import budget, facts_of, of_model, of_training
from spec.inputs import entry
from spec.jobs import JobSpec
from spec.limits import Limits
from spec.losses import default_loss
from spec.models import ModelSpec
from spec.network import Network
from spec.objective import Objective
from spec.training import Training


def build(spec: JobSpec, prepared: Prepared, *, limits: Limits | None = None) -> Training:
    """A training at its beginning: the network initialised from the seed, on the CPU.

    Raises Invalid where the model does not fit the prepared data, with every problem.
    """
    assembly = fitting(spec, prepared.shapes, limits or Limits())
    assert assembly.network is not None
    network = assembly.network.init(spec.train.seed)
    found = budget(spec, len(prepared.train))
    train = spec.train
    objective = Objective(train.loss or default_loss(spec.data.target.type))
    train_step = TrainStep(
        network,
        objective,
        train.optimizer.make(network.named_parameters()),
        clip_norm=train.clip_norm,
        accumulate=train.accumulate,
        ema=train.ema,
        threads=spec.resources.threads,
        seed=train.seed,
    )
    rates = train.schedule.make(
        train.optimizer.lr, total=found.total_steps, epoch=found.steps_per_epoch
    )
    model = assembly.model or spec.model
    return Training(spec, prepared, model, network, objective, train_step, rates, found)


def fitting(spec: JobSpec, shapes: DataShapes, limits: Limits) -> Assembly:
    """The model of a spec for data of these shapes; Invalid with every problem."""
    facts = facts_of(spec.data, shapes)
    assembly = assemble(spec.model, facts.entries, facts.outputs)
    problems = [*assembly.problems, *of_model(assembly, facts, limits)]
    problems += of_training(spec, facts, assembly, limits)
    if problems:
        raise Invalid(problems)
    return assembly


def network_of(model: ModelSpec, shapes: DataShapes) -> Network:
    """The network of a model that was built once; its weights are not filled."""
    entries = {name: entry(one) for name, one in shapes.inputs.items()}
    assembly = assemble(model, entries, shapes.target.classes or 1)
    if assembly.network is None:
        raise Invalid(assembly.problems)
    return assembly.network
