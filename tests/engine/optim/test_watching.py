"""Early stopping and plateaus: what they decide, and that they survive a restart."""

import json
from collections.abc import Callable

import pytest

from engine.errors import StateError
from engine.optim import EarlyStopping, ReduceLROnPlateau

NAN, INF = float("nan"), float("inf")


def stops_after(stopping: EarlyStopping, values: list[float]) -> int | None:
    for step, value in enumerate(values):
        stopping.update(value, step)
        if stopping.should_stop:
            return step
    return None


def test_it_stops_when_nothing_is_better_for_long_enough() -> None:
    stopping = EarlyStopping(3)
    assert stops_after(stopping, [5, 4, 4, 4.5, 3, 3, 3.1, 3.2, 1]) == 7
    assert stopping.best == 3
    assert stopping.best_step == 4


def test_higher_is_better_where_asked() -> None:
    stopping = EarlyStopping(2, mode="max")
    assert stops_after(stopping, [0.1, 0.5, 0.4, 0.5]) == 3
    assert stopping.best == 0.5


def test_a_tiny_gain_does_not_count() -> None:
    stopping = EarlyStopping(2, min_delta=0.1)
    assert stops_after(stopping, [1.0, 0.95, 0.91]) == 2
    assert stopping.best == 1.0


@pytest.mark.parametrize("bad", [NAN, INF])
def test_numbers_that_are_not_finite_are_never_better(bad: float) -> None:
    stopping = EarlyStopping(2, mode="max")
    assert not stopping.update(bad, 0)
    assert stopping.best is None
    assert stopping.update(0.5, 1)
    assert stops_after(stopping, [bad, bad]) == 1


def test_the_rate_falls_when_nothing_is_better() -> None:
    plateau = ReduceLROnPlateau(1.0, factor=0.5, patience=1)
    assert [plateau.update(v) for v in [3, 3, 3, 3, 3, 2, 2, 2]] == [
        1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125,
    ]  # fmt: skip


def test_the_rate_rests_and_has_a_floor() -> None:
    plateau = ReduceLROnPlateau(1.0, factor=0.1, patience=0, cooldown=2, min_lr=0.05)
    rates = [plateau.update(1.0) for _ in range(8)]
    assert rates == [1.0, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05]


def test_a_plateau_is_the_reference_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    values = [5, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=2, cooldown=1, threshold=0.0, threshold_mode="abs"
    )
    ours = ReduceLROnPlateau(1.0, factor=0.5, patience=2, cooldown=1)
    for value in values:
        theirs.step(value)
        assert ours.update(value) == optimizer.param_groups[0]["lr"]


VALUES = [3.0, 2.5, 2.6, 2.7, 2.8, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9]


@pytest.mark.parametrize("cut", range(len(VALUES)))
def test_a_plateau_goes_on_after_a_restart(cut: int) -> None:
    def make() -> ReduceLROnPlateau:
        return ReduceLROnPlateau(1.0, factor=0.5, patience=1, cooldown=1)

    whole, first, second = make(), make(), make()
    expected = [whole.update(value) for value in VALUES]
    rates = [first.update(value) for value in VALUES[:cut]]
    second.restore(json.loads(json.dumps(first.state())))
    assert rates + [second.update(value) for value in VALUES[cut:]] == expected


@pytest.mark.parametrize("cut", range(len(VALUES)))
def test_early_stopping_goes_on_after_a_restart(cut: int) -> None:
    whole, first, second = EarlyStopping(4), EarlyStopping(4), EarlyStopping(4)
    expected = stops_after(whole, VALUES)
    for step, value in enumerate(VALUES[:cut]):
        first.update(value, step)
    second.restore(json.loads(json.dumps(first.state())))
    if second.should_stop:
        assert expected is not None
        assert expected < cut
    else:
        found = stops_after(second, VALUES[cut:])
        assert found is not None
        assert found + cut == expected
        assert second.best == whole.best


def test_the_state_of_something_else_is_refused() -> None:
    with pytest.raises(StateError, match="was expected"):
        EarlyStopping(3).restore({"lr": 1.0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(0), "patience"),
        (lambda: EarlyStopping(1, mode="down"), "mode"),  # type: ignore[arg-type]
        (lambda: EarlyStopping(1, min_delta=-1), "min_delta"),
        (lambda: ReduceLROnPlateau(1.0, factor=1.0), "factor"),
        (lambda: ReduceLROnPlateau(1.0, cooldown=-1), "cooldown"),
    ],
)
def test_options_out_of_range_are_refused(make: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
