"""The training of one job: steps, evaluation, checkpoints, and what is said of them."""

import logging
import math
import time
from collections import deque
from statistics import median
from typing import Any, NoReturn

from engine.errors import FormatError
from engine.io import checkpoint
from spec.training import Outcome, Training
from worker import window
from worker.handover import Handover
from worker.progress import Progress

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
LEAST_SECONDS = 5.0  # between checkpoints that are due because an epoch has ended
FORMAT = "gradworks-job-1"


class Drained(Exception):
    """Told to stop: the checkpoint is written, the process may end."""


class NonFinite(Exception):
    """The numbers went astray: the weights are worth nothing from here on."""

    def __init__(self, name: str, value: float, step: int) -> None:
        super().__init__(f"{name} is {value} at step {step}")
        self.step = step


class Loop:
    """Runs a training to its end. `run` gives the final metrics, by full name."""

    def __init__(self, training: Training, progress: Progress, handover: Handover) -> None:
        self._training, self._progress, self._handover = training, progress, handover
        self._policy = training.spec.train.checkpoint
        self._window = window.Window()
        self._length = window.length(training.total_steps)
        self._epochs_told = window.length(training.epochs)  # every one, unless they are many
        self._epoch_open = False  # its last step is done, its end is not
        self._saved_step = -1
        self._saved_at = self._ticked_at = time.monotonic()
        self._ticked_step = training.step
        self._due = 0.0
        self._paces: deque[float] = deque(maxlen=9)
        self._pace = 0.0  # the usual seconds of a step
        self._fallback = ""  # why nothing is compiled, as it was told last

    def restore(self, arrays: dict[str, Any], manifest: dict[str, Any]) -> None:
        """Go on from where a checkpoint was written. FormatError where it is another's."""
        if manifest.get("format") != FORMAT:
            raise FormatError(f"expected a checkpoint {FORMAT!r}, got {manifest.get('format')!r}")
        self._training.restore(arrays, manifest["training"])
        self._window.restore(manifest["loop"]["window"])
        self._epoch_open = bool(manifest["loop"]["epoch_open"])
        self._saved_step = self._ticked_step = self._training.step

    def run(self) -> dict[str, float]:
        training = self._training
        if self._epoch_open:
            self._end_epoch()
        while not training.done:
            self._run_epoch()
            self._end_epoch()
        metrics = training.finish()
        self._progress.metrics(metrics, step=training.step, epoch=self._epoch())
        return metrics

    def _run_epoch(self) -> None:
        beat, add, total = self._handover.pulse.beat, self._window.add, self._training.total_steps
        for outcome in self._training.epoch():
            metrics = outcome.metrics
            if not math.isfinite(metrics["loss"] + metrics["grad_norm"]):
                self._go_astray(outcome)
            add(metrics)
            beat(outcome.step, self._pace)
            if outcome.step % self._length == 0 or outcome.step == total:
                self._say_window(outcome.step)
            if time.monotonic() >= self._due:
                self._tick(outcome.step)
            if self._handover.told_to_stop:
                break
        self._epoch_open = self._at_end_of_epoch()
        if self._handover.told_to_stop:
            self._drain()

    def _go_astray(self, outcome: Outcome) -> NoReturn:
        """Tell the numbers that are none, and end: the weights may be spoiled already."""
        told = {name: outcome.metrics[name] for name in ("loss", "grad_norm")}
        means = {f"train/{name}": value for name, value in told.items()}
        self._progress.metrics(means, step=outcome.step, epoch=self._epoch())
        name, value = next(
            ((name, value) for name, value in told.items() if not math.isfinite(value)),
            ("loss plus grad_norm", math.inf),
        )
        raise NonFinite(name, value, outcome.step)

    def _at_end_of_epoch(self) -> bool:
        step = self._training.step
        return step % self._training.steps_per_epoch == 0 or step >= self._training.total_steps

    def _end_epoch(self) -> None:
        training = self._training
        metrics = training.end_epoch()
        self._epoch_open = False
        epoch = self._epoch()
        if epoch % self._epochs_told == 0 or training.done:
            self._say_epoch(metrics, epoch)
        self._say_fallback(training.step)
        self._report(training.step)
        every = self._policy.every_epochs
        if every and epoch % every == 0 and not training.done and self._worth_saving():
            self.save()
        if self._handover.told_to_stop:
            self._drain()

    def _say_epoch(self, metrics: dict[str, float], epoch: int) -> None:
        step = self._training.step
        held_out = {name: v for name, v in metrics.items() if not name.startswith("train/")}
        self._progress.metrics(held_out, step=step, epoch=epoch)
        self._progress.event("epoch", step=step, epoch=epoch, metrics=metrics)
        if self._training.done:
            self._progress.hurry()  # it is not to wait for the last evaluation

    def _say_fallback(self, step: int) -> None:
        """Tell, once for each reason, that the job goes on without compiled code."""
        reason = self._training.fallback
        if reason and reason != self._fallback:
            self._fallback = reason
            self._progress.event("fallback", step=step, backend="interpreter", reason=reason)
            log.warning("interpreted, not compiled: %s", reason)

    def _epoch(self) -> int:
        """The epoch under way or just done, counted from 1."""
        return -(-self._training.step // self._training.steps_per_epoch)

    def _tick(self, step: int) -> None:
        """About once a second: say where we are, and save when it is time."""
        now = time.monotonic()
        if not self._due:
            self._progress.event("first_step", step=step, backend=self._training.backend)
            self._say_fallback(step)
            self._progress.hurry()
        else:
            self._paces.append((now - self._ticked_at) / (step - self._ticked_step))
            self._pace = median(self._paces)
        self._ticked_at, self._ticked_step, self._due = now, step, now + TICK_SECONDS
        self._progress.raise_failure()
        self._report(step)
        every = self._policy.every_seconds
        due = every and now - self._saved_at >= every and not self._progress.busy
        if due and not self._at_end_of_epoch():
            self.save()

    def _report(self, step: int) -> None:
        pace, left = self._pace, self._training.total_steps - step
        self._progress.at(
            step,
            self._epoch(),
            examples_per_second=round(self._training.budget.batch_size / pace, 3) if pace else None,
            eta_seconds=round(left * pace, 3) if pace else None,
        )

    def _say_window(self, step: int) -> None:
        means = {f"train/{name}": value for name, value in self._window.take().items()}
        if self._pace:
            means["train/examples_per_second"] = self._training.budget.batch_size / self._pace
        self._progress.metrics(means, step=step, epoch=self._epoch())

    def _drain(self) -> None:
        self.save()
        self._progress.close()
        raise Drained

    def _worth_saving(self) -> bool:
        """Epochs may be short: a checkpoint after each would cost more than it could save."""
        least = min(self._policy.every_seconds or LEAST_SECONDS, LEAST_SECONDS)
        return time.monotonic() - self._saved_at >= least and not self._progress.busy

    def save(self) -> None:
        """Hand a copy of the whole state to be written; skipped where this step has been saved."""
        step = self._training.step
        self._saved_at = time.monotonic()
        if step == self._saved_step:
            return
        self._saved_step = step
        arrays, state = self._training.state()
        manifest = {
            "format": FORMAT,
            "training": state,
            "loop": {"window": self._window.state(), "epoch_open": self._epoch_open},
        }
        self._report(step)
        self._progress.event("checkpoint", step=step, epoch=self._epoch())
        self._progress.checkpoint(
            lambda: [checkpoint.dumps(arrays, manifest)],
            {"format": FORMAT, "step": step},
            keep=self._policy.keep,
        )
