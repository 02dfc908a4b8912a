"""A training under way: steps, evaluation, when to stop, and all that a resumed one needs.

    training = build(spec, prepared)
    training.restore(arrays, manifest)              # or not, for a new one
    while not training.done:
        for outcome in training.epoch():            # from where it stands to the end of the epoch
            ...                                     # save training.state() whenever it suits
        metrics = training.end_epoch()
    metrics = training.finish()

Everything random is a function of seed and step, so a training restored from any step ends with
the same bits as one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import Invalid, Problem
from engine import Tensor
from engine.compile import TrainStep
from engine.data import DataLoader
from engine.optim.schedules import Schedule
from engine.optim.watching import EarlyStopping
from spec import metrics
from spec.data.prepare import Part, Prepared
from spec.feasibility import Budget
from spec.forward import SIZES, Forward
from spec.jobs import JobSpec
from spec.models import ModelSpec
from spec.network import Network
from spec.objective import Objective
from spec.scores import Scores

FORMAT = "gradworks-training-1"
BEST = "best."
CHUNK = 16 * SIZES[-1]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step gave: `step` steps are done now, `rows` rows were learned from.

    metrics: loss, grad_norm, learning_rate, and accuracy for a category.
    """

    step: int
    epoch: int
    rows: int
    metrics: dict[str, float]


class Training:
    """The whole of one training; used by one thread."""

    def __init__(
        self,
        spec: JobSpec,
        prepared: Prepared,
        model: ModelSpec,
        network: Network,
        objective: Objective,
        train_step: TrainStep,
        schedule: Schedule,
        budget: Budget,
    ) -> None:
        self.spec = spec
        self.prepared = prepared
        self.model = model  # a blueprint expanded
        self.network = network
        self.objective = objective
        self.budget = budget
        self.step = 0  # steps done
        self.stopped = False  # before the last step, because nothing improved
        self._train_step = train_step
        self._schedule = schedule
        self._threads = spec.resources.threads
        self._forward = Forward(network, weights=train_step.averages, threads=self._threads)
        self._loader = DataLoader(
            prepared.train,
            batch_size=budget.batch_size,
            shuffle=True,
            seed=spec.train.seed,
            drop_last=True,
        )
        self._stopping = _stopping(spec)
        self._best: dict[str, np.ndarray] = {}
        self._sums: dict[str, float] = {}
        self._seen = 0

    # How far

    @property
    def total_steps(self) -> int:
        return self.budget.total_steps

    @property
    def steps_per_epoch(self) -> int:
        return self.budget.steps_per_epoch

    @property
    def epochs(self) -> int:
        return self.budget.epochs

    @property
    def current_epoch(self) -> int:
        """Epochs done, counted from 0; the one under way while in its midst."""
        return self.step // self.steps_per_epoch

    @property
    def done(self) -> bool:
        return self.stopped or self.step >= self.total_steps

    def lr(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self._schedule(step)

    @property
    def backend(self) -> str:
        """What runs the steps: a compiler's name, or the interpreter and why."""
        return self._train_step.backend

    @property
    def fallback(self) -> str:
        """Why steps or evaluation are interpreted though they should be compiled; else ""."""
        return self._train_step.fallback or self._forward.fallback

    # Learning

    def epoch(self) -> Iterator[Outcome]:
        """Steps from here to the end of the epoch, or to the last step of the training.

        May be left at any step, to be gone on with by another call.
        """
        epoch, start = divmod(self.step, self.steps_per_epoch)
        end = min((epoch + 1) * self.steps_per_epoch, self.total_steps)
        if start == 0:
            self._sums, self._seen = {}, 0
        with self._loader.epoch(epoch, start) as batches:
            while self.step < end and not self.stopped:
                yield self._learn(next(batches), epoch)

    def _learn(self, batch: dict[str, np.ndarray], epoch: int) -> Outcome:
        lr = self.lr(self.step)
        found = self._train_step(batch, step=self.step, lr=lr)
        self.step += 1
        rows = self.budget.batch_size
        for name in metrics.train_names(self.spec.data.target.type):
            self._sums[name] = self._sums.get(name, 0.0) + float(found[name]) * rows
        self._seen += rows
        return Outcome(self.step, epoch, rows, {**found, "learning_rate": lr})

    def end_epoch(self) -> dict[str, float]:
        """The metrics of the epoch just done, by full name; decides whether to stop."""
        found = {f"train/{name}": total / self._seen for name, total in self._sums.items()}
        if len(self.prepared.validation):
            validation = self.evaluate("validation")
            found |= {f"validation/{name}": value for name, value in validation.items()}
        early = self.spec.train.early_stopping
        if early is not None and self._stopping is not None and early.metric in found:
            better = self._stopping.update(found[early.metric], self.step)
            if better and early.restore_best:
                self._best = self._weights()
            self.stopped = self._stopping.should_stop
        return found

    def finish(self) -> dict[str, float]:
        """Settle the weights of the finished model, and tell the metrics of the end.

        They are the best ones where those are wanted, else the last; averages where there are any.
        """
        self.network.load_state_dict(self._best or self._weights())
        self._forward = Forward(self.network, threads=self._threads)
        parts = [part for part in ("validation", "test") if len(getattr(self.prepared, part))]
        return {
            f"{part}/{name}": value for part in parts for name, value in self.evaluate(part).items()
        }

    def _weights(self) -> dict[str, np.ndarray]:
        """A copy of what the finished model would be now."""
        averages = {name: np.array(one) for name, one in self._train_step.averages.items()}
        return self.network.state_dict() | averages

    # Judging

    def evaluate(self, split: str) -> dict[str, float]:
        """The metrics of a part ("train", "validation", "test") with the weights of now."""
        part: Part = getattr(self.prepared, split)
        scores = Scores(self.prepared.fitted)
        for start in range(0, len(part), CHUNK):
            rows = part.gather(np.arange(start, min(start + CHUNK, len(part))))
            target = rows["target"]
            outputs = self._forward(rows)
            losses = self.objective.rows(Tensor(outputs), Tensor(target)).numpy()
            scores.update(outputs, target, losses)
        return scores.compute()

    # To be gone on with

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays, manifest): copies of all that the rest of the training depends on."""
        arrays = self._train_step.state_dict()
        arrays |= {BEST + name: np.array(array) for name, array in self._best.items()}
        manifest = {
            "format": FORMAT,
            "step": self.step,
            "seed": self.spec.train.seed,
            "stopped": self.stopped,
            "stopping": None if self._stopping is None else self._stopping.state(),
            "sums": dict(self._sums),
            "seen": self._seen,
        }
        return arrays, manifest

    def restore(self, arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> None:
        """Go on from a `state`; Invalid where it is another format's or another training's."""
        if manifest.get("format") != FORMAT or manifest.get("seed") != self.spec.train.seed:
            detail = "the checkpoint is of another format or another training"
            raise Invalid([Problem("/checkpoint", "wrong_checkpoint", detail)])
        own = {name: array for name, array in arrays.items() if not name.startswith(BEST)}
        self._train_step.load_state_dict(own)
        self._best = {
            name.removeprefix(BEST): np.array(array)
            for name, array in arrays.items()
            if name.startswith(BEST)
        }
        if self._stopping is not None and manifest["stopping"] is not None:
            self._stopping.restore(manifest["stopping"])
        self.step, self.stopped = int(manifest["step"]), bool(manifest["stopped"])
        self._sums = {name: float(total) for name, total in manifest["sums"].items()}
        self._seen = int(manifest["seen"])


def _stopping(spec: JobSpec) -> EarlyStopping | None:
    early = spec.train.early_stopping
    if early is None:
        return None
    mode = metrics.direction(early.metric) if early.mode == "auto" else early.mode
    return EarlyStopping(early.patience, mode=mode, min_delta=early.min_delta)
