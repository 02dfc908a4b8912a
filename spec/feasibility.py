"""What a spec asks for beside what its data, model and limits allow; every problem at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod

from core.errors import Problem
from engine.dtypes import is_float
from spec import metrics
from spec.assembly import Assembly
from spec.data.config import CategoryTarget, DataSpec
from spec.data.profile import DataProfile
from spec.data.shapes import DataShapes, PartRows, input_shape, shapes
from spec.inputs import Entry, entry
from spec.jobs import JobSpec
from spec.limits import Limits
from spec.problems import did_you_mean, pointer, show
from spec.schedules import Stepwise

Problems = Iterator[Problem]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the data tells of itself; None is what a problem of the data hides."""

    entries: dict[str, Entry | None]
    classes: int | None
    rows: PartRows | None
    target: str

    @property
    def outputs(self) -> int | None:
        """How many numbers the model must give for a row."""
        return 1 if self.target == "number" else self.classes

    def known(self) -> dict[str, Entry]:
        return {name: one for name, one in self.entries.items() if one is not None}


def facts(data: DataSpec, profile: DataProfile, problems: list[Problem]) -> Facts:
    """What is known of the data beside its problems."""
    if not problems:
        return facts_of(data, shapes(data, profile))
    columns = profile.by_name()
    bad = [problem.pointer + "/" for problem in problems]
    entries: dict[str, Entry | None] = {}
    for name, given in data.inputs.items():
        place = pointer(("data", "inputs", name)) + "/"
        clean = not any(one.startswith(place) for one in bad)
        entries[name] = entry(input_shape(name, given, columns)) if clean else None
    known = not any(one.startswith("/data/target/") for one in bad)
    classes = None
    if known and isinstance(data.target, CategoryTarget):
        declared = data.target.classes
        classes = len(declared) if declared else columns[data.target.column].distinct
    return Facts(entries, classes, None, data.target.type)


def facts_of(data: DataSpec, found: DataShapes) -> Facts:
    """What is known of data without a problem."""
    entries: dict[str, Entry | None] = {n: entry(one) for n, one in found.inputs.items()}
    return Facts(entries, found.target.classes, found.rows, data.target.type)


def of_model(assembly: Assembly, facts: Facts, limits: Limits) -> Problems:
    """The model's size and its output beside the target."""
    parameters = sum(line.parameters for line in assembly.lines)
    if assembly.network is not None and parameters == 0:
        hint = "add a layer with weights, such as linear"
        yield Problem("/model", "nothing_to_learn", "no layer has anything to learn", hint=hint)
    if parameters > limits.max_parameters:
        yield _over("/model", "parameters", parameters, limits.max_parameters, _widest(assembly))
    if len(assembly.lines) > limits.max_layers:
        yield _over("/model", "layers", len(assembly.lines), limits.max_layers)
    yield from _head(assembly, facts)


def _over(place: str, what: str, got: int, limit: int, hint: str | None = None) -> Problem:
    detail = f"{got:,} {what}; at most {limit:,} are allowed"
    return Problem(place, "too_large", detail, expected=f"at most {limit}", got=str(got), hint=hint)


def _widest(assembly: Assembly) -> str:
    line = max(assembly.lines, key=lambda one: one.parameters)
    return f"{line.kind} at {line.path} alone has {line.parameters:,}"


def of_memory(peak: int, limits: Limits) -> Problems:
    """The memory of a training step at its highest."""
    if peak > limits.max_bytes:
        hint = "use a smaller batch_size, more accumulate, or a smaller model"
        yield _over("/train/batch_size", "bytes at the peak", peak, limits.max_bytes, hint)


def _head(assembly: Assembly, facts: Facts) -> Problems:
    """The output must have one number for each class, or one for a number."""
    output, wanted = assembly.output, facts.outputs
    if output is None or wanted is None:
        return
    if is_float(output.dtype) and output.shape == (wanted,):
        return
    what = f"{wanted} classes" if facts.target == "category" else "one number"
    hint = f"end with linear: {wanted}"
    if output.ndim > 1:
        hint = f"put `flatten` or `global_avg_pool` before the last layer, and {hint}"
    yield Problem(
        assembly.last,
        "wrong_output",
        f"the model's output is {output}; the target has {what}",
        expected=str([wanted]),
        got=str(output),
        hint=hint,
    )


# Training


@dataclass(frozen=True, slots=True)
class Budget:
    """How long training is, in its own units."""

    batch_size: int
    steps_per_epoch: int
    total_steps: int

    @property
    def epochs(self) -> int:
        return ceil(self.total_steps / self.steps_per_epoch)


def budget(spec: JobSpec, rows: int) -> Budget:
    """Steps and epochs for that many training rows.

    Rows that do not fill a batch are left out of an epoch, others each time.
    """
    train = spec.train
    batch_size = max(1, min(train.batch_size, rows))
    steps = max(1, rows // batch_size)
    return Budget(batch_size, steps, train.steps or steps * (train.epochs or 1))


def of_training(spec: JobSpec, facts: Facts, assembly: Assembly, limits: Limits) -> Problems:
    """The `train` and `resources` parts beside the data."""
    yield from _loss(spec, facts)
    yield from _stopping(spec, facts)
    yield from _device(spec, limits)
    if facts.rows is None or facts.rows.train == 0:
        return
    found = budget(spec, facts.rows.train)
    train = spec.train
    if train.accumulate > found.batch_size:
        detail = f"a batch of {found.batch_size} rows cannot be cut into {train.accumulate} parts"
        fix = f"use at most {found.batch_size}"
        yield Problem("/train/accumulate", "out_of_range", detail, hint=fix)
    unrolled = train.accumulate * len(assembly.lines)
    if unrolled > limits.max_layers_unrolled:
        what = f"layers ({len(assembly.lines)} times accumulate: {train.accumulate})"
        yield _over("/train/accumulate", what, unrolled, limits.max_layers_unrolled)
    yield from _single_rows(assembly, found.batch_size, train.accumulate)
    if found.total_steps > limits.max_steps:
        place = "/train/steps" if train.steps else "/train/epochs"
        yield _over(place, "steps", found.total_steps, limits.max_steps)
    if train.schedule.warmup_steps >= found.total_steps:
        yield Problem(
            "/train/schedule/warmup_steps",
            "out_of_range",
            f"the warm-up of {train.schedule.warmup_steps} steps never ends: training has "
            f"{found.total_steps} steps",
            expected=f"less than {found.total_steps}",
            got=str(train.schedule.warmup_steps),
            hint=f"use at most {max(found.total_steps // 10, 0)}, or train longer",
        )


def _single_rows(assembly: Assembly, batch_size: int, accumulate: int) -> Problems:
    """Batch norm needs more than one value of a channel to tell their deviation."""
    for line in assembly.lines:
        alone = prod(line.output_shape[1:]) == 1 and batch_size // accumulate == 1
        if line.kind == "batch_norm" and alone:
            detail = f"{line.kind} at {line.path} would see one row at a time"
            place = "/train/accumulate" if batch_size > 1 else "/train/batch_size"
            yield Problem(place, "misfit", detail, hint="use layer_norm, or more rows at a time")


def _loss(spec: JobSpec, facts: Facts) -> Problems:
    loss = spec.train.loss
    if loss is not None and loss.target != facts.target:
        fits = "cross_entropy" if facts.target == "category" else "mse, mae or huber"
        yield Problem(
            "/train/loss",
            "misfit",
            f"{loss.name} is for a {loss.target}; the target is a {facts.target}",
            expected=fits,
            got=loss.name,
            hint=f"use {fits}, or leave loss out",
        )


def _stopping(spec: JobSpec, facts: Facts) -> Problems:
    early = spec.train.early_stopping
    if early is None:
        return
    place = "/train/early_stopping/metric"
    part, name = early.metric.split("/")
    known = metrics.names(facts.target, facts.classes)
    known = metrics.train_names(facts.target) if part == "train" else known
    if name not in known:
        yield Problem(
            place,
            "unknown_name",
            f"there is no metric {show(early.metric)} for a {facts.target}",
            expected=[f"{part}/{one}" for one in known],
            got=show(early.metric),
            hint=did_you_mean(name, known),
        )
    if part == "validation" and facts.rows is not None and facts.rows.validation == 0:
        detail = "there are no validation rows to look at"
        hint = "give validation a share in data.split, or watch train/loss"
        yield Problem(place, "no_rows", detail, hint=hint)


def _device(spec: JobSpec, limits: Limits) -> Problems:
    device = spec.resources.device
    if limits.devices is not None and device not in ("auto", *limits.devices):
        yield Problem(
            "/resources/device",
            "no_device",
            f"no worker has {device}",
            expected=", ".join(("auto", *limits.devices)),
            got=device,
            hint="use device: auto",
        )


def warnings(spec: JobSpec, facts: Facts, limits: Limits) -> Problems:
    """What will work, and perhaps not as meant."""
    rows = facts.rows
    if rows is not None and spec.train.batch_size > rows.train:
        detail = f"batch_size is cut to the {rows.train} training rows"
        yield Problem("/train/batch_size", "cut", detail)
    if rows is not None and rows.validation == 0:
        detail = "no rows are left to validate on; only the training metrics will be known"
        yield Problem("/data/split", "no_validation", detail)
    if spec.resources.device == "cuda" and limits.devices is None:
        detail = "whether a worker has cuda is not known; the job waits until one takes it"
        yield Problem("/resources/device", "device_unknown", detail, hint="use device: auto")
    schedule, epochs = spec.train.schedule, spec.train.epochs
    if isinstance(schedule, Stepwise) and epochs is not None and schedule.every_epochs >= epochs:
        detail = "the learning rate is never cut: training ends before"
        yield Problem("/train/schedule/every_epochs", "never", detail)
