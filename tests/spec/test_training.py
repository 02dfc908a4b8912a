"""Trainings learn, stop when told, and go on from any step to the same bits."""

from typing import Any

import numpy as np
import pytest

from core.errors import Invalid
from engine.io import checkpoint
from spec.build import build
from spec.data.prepare import Prepared, prepare
from spec.jobs import JobSpec, parse
from spec.plan import plan
from spec.training import Training
from tests.spec import tables
from tests.spec.specs import digits, people, train


def ready(document: dict[str, Any], rows: int = 300) -> tuple[JobSpec, Prepared]:
    spec = parse(document)
    table = tables.people(rows) if spec.name == "people" else tables.digits(rows)
    return spec, prepare(table, spec.data, seed=spec.train.seed)


def started(document: dict[str, Any], rows: int = 300) -> Training:
    return build(*ready(document, rows))


def run(training: Training) -> list[dict[str, float]]:
    """The metrics of every epoch that is left."""
    found = []
    while not training.done:
        for _ in training.epoch():
            pass
        found.append(training.end_epoch())
    return found


SMALL = {
    "layers": [
        {"conv2d": {"out_channels": 8, "padding": "same"}},
        "batch_norm",
        "relu",
        {"max_pool2d": 2},
        "flatten",
        {"dropout": 0.2},
        {"linear": 10},
    ]
}


@pytest.mark.usefixtures("compiled")
def test_digits_are_learned() -> None:
    document = digits(
        model={"blueprint": {"name": "convnet", "channels": [8, 16], "hidden": [32]}},
        train={
            "optimizer": {"name": "adamw", "lr": 0.01},
            "schedule": {"name": "cosine", "warmup_steps": 10},
            "epochs": 6,
            "batch_size": 32,
        },
    )
    document["data"]["split"] = {"train": 0.8, "test": 0.2, "stratify": True}
    training = started(document, 1797)
    run(training)
    found = training.finish()
    assert found["test/accuracy"] >= 0.97
    assert found["test/top5_accuracy"] >= found["test/accuracy"]
    assert 0.96 <= found["test/f1"] <= 1


def test_a_number_is_learned_from_numbers_and_categories() -> None:
    training = started(
        people(train={"optimizer": {"lr": 0.02}, "epochs": 60, "batch_size": 32}), 400
    )
    run(training)
    found = training.finish()
    assert found["test/r2"] > 0.9
    assert found["test/mse"] == pytest.approx(found["test/loss"], rel=1e-4)


def test_errors_of_a_scaled_number_are_in_its_own_units() -> None:
    document = people(train={"optimizer": {"lr": 0.02}, "epochs": 60, "batch_size": 32})
    document["data"]["target"]["normalize"] = "standard"
    training = started(document, 400)
    run(training)
    found = training.finish()
    assert found["test/mse"] > 3 * found["test/loss"]  # the ages deviate by more than 5 years
    assert found["test/r2"] > 0.9


def test_every_step_tells_what_it_did() -> None:
    training = started(train(epochs=2, batch_size=64, schedule={"name": "linear"}))
    outcomes = list(training.epoch())
    assert [one.step for one in outcomes] == [1, 2, 3]
    assert {one.epoch for one in outcomes} == {0}
    assert {one.rows for one in outcomes} == {64}
    assert set(outcomes[0].metrics) == {"loss", "grad_norm", "accuracy", "learning_rate"}
    rates = [one.metrics["learning_rate"] for one in outcomes]
    assert rates == pytest.approx([0.001, 0.001 * 5 / 6, 0.001 * 4 / 6])


def test_metrics_of_an_epoch() -> None:
    training = started(train(epochs=1, batch_size=64))
    losses = [one.metrics["loss"] for one in training.epoch()]
    found = training.end_epoch()
    assert found["train/loss"] == pytest.approx(np.mean(losses))
    assert set(found) == {
        "train/loss",
        "train/accuracy",
        "validation/loss",
        "validation/accuracy",
        "validation/f1",
        "validation/top5_accuracy",
    }


def test_the_plan_foretells_the_training() -> None:
    document = digits(model=SMALL, train={"epochs": 3, "batch_size": 32})
    training = started(document, 1797)
    found = plan(parse(document), tables.DIGITS)
    assert training.total_steps == found.total_steps
    assert training.steps_per_epoch == found.steps_per_epoch
    assert training.network.num_parameters() == found.parameters
    weights = sum(array.nbytes for array in training.network.state_dict().values())
    assert weights == found.bytes.weights
    arrays, _ = training.state()
    moments = [a.nbytes for name, a in arrays.items() if name.startswith("optimizer.exp_avg")]
    assert sum(moments) == found.bytes.optimizer


def test_fewer_rows_than_a_batch() -> None:
    training = started(train(epochs=1, batch_size=512), 200)
    assert [one.rows for one in training.epoch()] == [160]


def test_accumulation_makes_the_same_step() -> None:
    whole, parts = started(train(epochs=1)), started(train(epochs=1, accumulate=4))
    run(whole)
    run(parts)
    for name, array in whole.network.state_dict().items():
        np.testing.assert_allclose(parts.network.state_dict()[name], array, rtol=1e-3, atol=1e-5)


def test_the_seed_decides_everything() -> None:
    def weights(seed: int) -> dict[str, np.ndarray]:
        training = started(digits(model=SMALL, train={"epochs": 1, "seed": seed}))
        run(training)
        return training.network.state_dict()

    first, second, other = weights(3), weights(3), weights(4)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_moving_averages_are_what_is_judged_and_kept() -> None:
    fields = {"epochs": 2, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.5}}
    plain, averaged = started(train(**fields)), started(train(**fields, ema=0.9))
    run(plain)
    run(averaged)
    judged = averaged.evaluate("test")
    assert judged["loss"] != plain.evaluate("test")["loss"]
    assert averaged.finish()["test/loss"] == judged["loss"]
    assert averaged.evaluate("test") == judged


def test_moving_averages_follow_their_formula() -> None:
    training = started(train(epochs=1, batch_size=32, optimizer={"name": "sgd"}, ema=0.9))
    expected = training.network.state_dict()
    for outcome in training.epoch():
        decay = min(0.9, (1 + outcome.step) / (10 + outcome.step))
        for name, array in training.network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * array
    training.finish()
    for name, array in training.network.state_dict().items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)


# Stopping


def test_early_stopping_ends_with_the_best_weights() -> None:
    document = digits(
        train={
            "optimizer": {"name": "sgd", "lr": 20.0},
            "epochs": 50,
            "batch_size": 16,
            "early_stopping": {"patience": 2},
        }
    )
    training = started(document)
    found = run(training)
    losses = [one["validation/loss"] for one in found]
    assert training.stopped
    assert len(found) < 50
    assert training.finish()["validation/loss"] == min(losses)


def test_without_restore_best_the_last_weights_stay() -> None:
    document = digits(
        train={
            "optimizer": {"name": "sgd", "lr": 20.0},
            "epochs": 50,
            "batch_size": 16,
            "early_stopping": {"patience": 2, "restore_best": False},
        }
    )
    training = started(document)
    found = run(training)
    assert training.finish()["validation/loss"] == found[-1]["validation/loss"]


def test_a_growing_metric_is_followed_upwards() -> None:
    stopping = {"metric": "validation/accuracy", "patience": 30}
    training = started(train(epochs=4, early_stopping=stopping, optimizer={"lr": 0.01}))
    accuracies = [one["validation/accuracy"] for one in run(training)]
    assert accuracies[-1] > accuracies[0]
    assert training.finish()["validation/accuracy"] == max(accuracies)


# Going on


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("stop", [1, 4, 5, 8, 9, 13])
def test_a_training_goes_on_from_any_step_to_the_same_bits(stop: int) -> None:
    document = digits(
        model=SMALL,
        train={
            "epochs": 4,
            "batch_size": 64,
            "optimizer": {"name": "adamw", "lr": 0.01},
            "schedule": {"name": "cosine", "warmup_steps": 2},
            "clip_norm": 1.0,
            "ema": 0.95,
            "early_stopping": {"patience": 10},
        },
    )
    whole = started(document, 400)
    told = run(whole)
    first = started(document, 400)
    ended = 0
    for _ in iter(lambda: first.step < stop, False):
        for outcome in first.epoch():
            if outcome.step == stop:
                break
        if first.step % first.steps_per_epoch == 0:
            first.end_epoch()
            ended += 1
    saved = checkpoint.dumps(*first.state())

    second = started(document, 400)
    second.restore(*checkpoint.loads(saved))
    assert second.step == stop
    assert run(second) == told[ended:]
    assert whole.finish() == second.finish()
    expected, found = whole.state(), second.state()
    assert found[1] == expected[1]
    assert set(found[0]) == set(expected[0])
    for name, array in expected[0].items():
        assert array.tobytes() == found[0][name].tobytes(), name


def test_a_checkpoint_of_another_training_is_refused() -> None:
    arrays, manifest = started(train(seed=1)).state()
    with pytest.raises(Invalid):
        started(train(seed=2)).restore(arrays, manifest)


def test_a_spec_that_does_not_fit_its_data_is_refused() -> None:
    spec, prepared = ready(digits(model={"layers": ["flatten", {"linear": 9}]}))
    with pytest.raises(Invalid) as refused:
        build(spec, prepared)
    assert refused.value.problems[0].pointer == "/model/layers/1"
