"""Learning rates as plain functions of the step, counted from 0, in float64 on the host.

A schedule holds no state: to resume is to ask it for the next step. Where one has an end, it stays
there. `total` and other lengths are in steps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import cos, pi

Schedule = Callable[[int], float]


def constant(lr: float) -> Schedule:
    """lr."""
    return lambda step: lr


def step(lr: float, size: int, gamma: float = 0.1) -> Schedule:
    """lr * gamma^(t // size)."""
    _positive(size=size)
    return lambda step: lr * gamma ** (step // size)


def multistep(lr: float, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """lr * gamma^(how many milestones are at or before t)."""
    marks = sorted(milestones)
    return lambda step: lr * gamma ** bisect_right(marks, step)


def exponential(lr: float, gamma: float) -> Schedule:
    """lr * gamma^t."""
    return lambda step: lr * gamma**step


def polynomial(lr: float, total: int, power: float = 1.0, end: float = 0.0) -> Schedule:
    """end + (lr - end) * (1 - t / total)^power."""
    _positive(total=total)
    return lambda step: end + (lr - end) * (1.0 - min(step, total) / total) ** power


def linear(lr: float, total: int, end: float = 0.0) -> Schedule:
    """From lr straight to `end` after `total` steps."""
    return polynomial(lr, total, 1.0, end)


def cosine(lr: float, total: int, end: float = 0.0) -> Schedule:
    """end + (lr - end) * (1 + cos(pi t / total)) / 2. Loshchilov and Hutter (2017)."""
    _positive(total=total)
    return lambda step: _cosine(lr, end, min(step, total) / total)


def cosine_restarts(lr: float, period: int, multiplier: int = 1, end: float = 0.0) -> Schedule:
    """A cosine over `period` steps, begun again, each `multiplier` times as long as the last.

    SGDR: Loshchilov and Hutter (2017).
    """
    _positive(period=period, multiplier=multiplier)

    def schedule(step: int) -> float:
        length = period
        if multiplier == 1:
            return _cosine(lr, end, step % length / length)
        while step >= length:
            step, length = step - length, length * multiplier
        return _cosine(lr, end, step / length)

    return schedule


def one_cycle(
    lr: float,
    total: int,
    rise: float = 0.3,
    div: float = 25.0,
    final_div: float = 1e4,
) -> Schedule:
    """Up from lr / div to lr over the part `rise` of all steps, then down to lr / div / final_div.

    Both ways along a cosine; the first step is 0, the last total - 1. Smith and Topin, "Super-
    convergence" (2018), as PyTorch's OneCycleLR.
    """
    _positive(total=total)
    if not 0.0 < rise < 1.0:
        raise ValueError(f"rise must be between 0 and 1, got {rise}")
    first, last = lr / div, lr / div / final_div
    top, end = rise * total - 1.0, total - 1.0

    def schedule(step: int) -> float:
        if step <= top:
            return _cosine(first, lr, step / top) if top > 0 else lr
        return _cosine(lr, last, min(1.0, (step - top) / (end - top)) if end > top else 1.0)

    return schedule


def warmup(schedule: Schedule, steps: int, start: float = 0.0) -> Schedule:
    """Rise in a straight line to the schedule's first rate, then follow it from its beginning.

    Step t < steps has the factor start + (1 - start) * (t + 1) / (steps + 1), so that the first
    step already learns and step `steps` is the first of the schedule.
    """
    if steps < 0:
        raise ValueError(f"steps must be 0 or more, got {steps}")

    def warmed(step: int) -> float:
        if step >= steps:
            return schedule(step - steps)
        return schedule(0) * (start + (1.0 - start) * (step + 1) / (steps + 1))

    return warmed


def sequential(schedules: Sequence[Schedule], milestones: Sequence[int]) -> Schedule:
    """One schedule after another; number i + 1 begins, at its own step 0, at milestones[i]."""
    marks = list(milestones)
    if len(schedules) != len(marks) + 1 or marks != sorted(set(marks)):
        raise ValueError(
            f"{len(schedules)} schedules need {len(schedules) - 1} rising milestones, got {marks}"
        )
    starts = [0, *marks]

    def joined(step: int) -> float:
        number = bisect_right(marks, step)
        return schedules[number](step - starts[number])

    return joined


def inverse_sqrt(lr: float, warmup_steps: int) -> Schedule:
    """Linear to lr at step `warmup_steps`, then lr * sqrt(warmup_steps / t): Noam's schedule.

    Vaswani et al., "Attention is all you need" (2017).
    """
    _positive(warmup_steps=warmup_steps)
    return lambda step: lr * min((step + 1) / warmup_steps, (warmup_steps / (step + 1)) ** 0.5)


def warmup_stable_decay(
    lr: float, total: int, warmup_steps: int, decay_steps: int, end: float = 0.0
) -> Schedule:
    """Warm up, hold lr, and go straight to `end` over the last `decay_steps`. Hu et al. (2024)."""
    _positive(decay_steps=decay_steps)
    if warmup_steps + decay_steps > total:
        raise ValueError(f"{warmup_steps} + {decay_steps} steps do not go into {total}")
    held = total - decay_steps
    rising = warmup(constant(lr), warmup_steps)
    falling = linear(lr, decay_steps, end)
    return sequential([rising, falling], [held]) if held > 0 else falling


def _cosine(first: float, last: float, part: float) -> float:
    return last + (first - last) * (1.0 + cos(pi * part)) / 2.0


def _positive(**values: float) -> None:
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f"{name} must be above 0, got {value}")
