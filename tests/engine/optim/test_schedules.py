"""Schedules are the closed forms of the field's recurrences."""

from collections.abc import Callable
from math import cos, pi

import pytest

from engine.optim import schedules as s

KNOWN: dict[str, tuple[s.Schedule, dict[int, float]]] = {
    "constant": (s.constant(0.3), {0: 0.3, 10**9: 0.3}),
    "step": (s.step(1.0, 10, 0.5), {0: 1.0, 9: 1.0, 10: 0.5, 20: 0.25, 29: 0.25}),
    "multistep": (s.multistep(1.0, [8, 4], 0.1), {3: 1.0, 4: 0.1, 7: 0.1, 8: 0.01}),
    "exponential": (s.exponential(2.0, 0.5), {0: 2.0, 1: 1.0, 3: 0.25}),
    "polynomial": (s.polynomial(1.0, 10, 2.0, 0.2), {0: 1.0, 5: 0.4, 10: 0.2, 99: 0.2}),
    "linear": (s.linear(1.0, 4, 0.2), {0: 1.0, 1: 0.8, 2: 0.6, 4: 0.2, 9: 0.2}),
    "cosine": (
        s.cosine(1.0, 8, 0.2),
        {0: 1.0, 4: 0.6, 8: 0.2, 80: 0.2, 2: 0.6 + 0.4 * cos(pi / 4)},
    ),
    "restarts": (s.cosine_restarts(1.0, 4), {0: 1.0, 2: 0.5, 4: 1.0, 6: 0.5, 8: 1.0}),
    "longer restarts": (
        s.cosine_restarts(1.0, 2, 2),
        {0: 1.0, 1: 0.5, 2: 1.0, 4: 0.5, 6: 1.0, 10: 0.5, 14: 1.0},
    ),
    "one_cycle": (s.one_cycle(1.0, 100), {0: 0.04, 29: 1.0, 99: 4e-6, 1000: 4e-6}),
    "warmup": (s.warmup(s.linear(1.0, 4), 3), {0: 0.25, 1: 0.5, 2: 0.75, 3: 1.0, 5: 0.5}),
    "warmup from": (s.warmup(s.constant(2.0), 1, 0.5), {0: 1.5, 1: 2.0}),
    "no warmup": (s.warmup(s.constant(2.0), 0), {0: 2.0}),
    "sequential": (
        s.sequential([s.constant(1.0), s.linear(3.0, 3), s.constant(7.0)], [2, 5]),
        {0: 1.0, 1: 1.0, 2: 3.0, 3: 2.0, 4: 1.0, 5: 7.0, 50: 7.0},
    ),
    "inverse_sqrt": (s.inverse_sqrt(1.0, 4), {0: 0.25, 3: 1.0, 15: 0.5}),
    "stable": (
        s.warmup_stable_decay(1.0, 20, 3, 10),
        {0: 0.25, 3: 1.0, 10: 1.0, 15: 0.5, 20: 0.0, 30: 0.0},
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_schedule_gives_the_rates_of_its_formula(name: str) -> None:
    schedule, rates = KNOWN[name]
    for step, rate in rates.items():
        assert schedule(step) == pytest.approx(rate, rel=1e-12, abs=1e-15), step


@pytest.mark.parametrize("name", KNOWN)
def test_a_schedule_remembers_nothing(name: str) -> None:
    schedule, _ = KNOWN[name]
    forwards = [schedule(step) for step in range(30)]
    assert [schedule(step) for step in reversed(range(30))] == forwards[::-1]


def test_one_cycle_rises_then_falls() -> None:
    rates = [s.one_cycle(0.1, 50)(step) for step in range(50)]
    top = rates.index(max(rates))
    assert top == 14
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


TORCH: dict[str, tuple[s.Schedule, Callable]] = {
    "StepLR": (s.step(0.1, 7, 0.3), lambda of, o: of.StepLR(o, 7, 0.3)),
    "MultiStepLR": (s.multistep(0.1, [5, 9]), lambda of, o: of.MultiStepLR(o, [5, 9])),
    "ExponentialLR": (s.exponential(0.1, 0.9), lambda of, o: of.ExponentialLR(o, 0.9)),
    "PolynomialLR": (s.polynomial(0.1, 30, 2.0), lambda of, o: of.PolynomialLR(o, 30, 2.0)),
    "CosineAnnealingLR": (s.cosine(0.1, 40, 0.01), lambda of, o: of.CosineAnnealingLR(o, 40, 0.01)),
    "CosineAnnealingWarmRestarts": (
        s.cosine_restarts(0.1, 5, 2, 0.01),
        lambda of, o: of.CosineAnnealingWarmRestarts(o, 5, 2, 0.01),
    ),
    "OneCycleLR": (s.one_cycle(0.1, 40), lambda of, o: of.OneCycleLR(o, 0.1, total_steps=40)),
}


@pytest.mark.parametrize("name", TORCH)
def test_it_is_the_reference_in_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    schedule, make = TORCH[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = make(torch.optim.lr_scheduler, optimizer)
    for step in range(40):
        assert schedule(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if step < 39:
            theirs.step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: s.step(1.0, 0), "size must be above 0"),
        (lambda: s.cosine(1.0, 0), "total must be above 0"),
        (lambda: s.cosine_restarts(1.0, 5, 0), "multiplier must be above 0"),
        (lambda: s.one_cycle(1.0, 10, rise=1.0), "rise must be between 0 and 1"),
        (lambda: s.warmup(s.constant(1.0), -1), "steps must be 0 or more"),
        (lambda: s.sequential([s.constant(1.0)], [3]), "need 0 rising milestones"),
        (lambda: s.sequential([s.constant(1.0)] * 3, [3, 3]), "need 2 rising milestones"),
        (lambda: s.warmup_stable_decay(1.0, 10, 8, 8), "do not go into 10"),
    ],
)
def test_lengths_that_make_no_sense_are_refused(make: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
