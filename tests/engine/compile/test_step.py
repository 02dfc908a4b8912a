"""Training steps: both modes to the bit, batches of several sizes, state, and resuming."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import engine
from engine import nn
from engine.compile import Inference, TrainStep
from engine.compile.program import Options, Program
from engine.compile.step import trace_step
from engine.errors import GradientError, ShapeError, StateError, TracingError
from engine.ir import arena
from engine.ir.arena import SPARE
from engine.ir.graph import TensorType
from engine.ir.passes.memory import plan_memory
from engine.ir.passes.overlap import check_memory
from engine.ir.passes.simplify import simplify
from engine.ir.verify import verify
from engine.nn.module import set_buffer
from engine.optim import EMA, SGD, Adam, AdamW, Group, RMSprop
from engine.optim.optimizer import Optimizer
from engine.tensor import Tensor
from tests.engine.compile.models import CASES, Case

Build = Callable[[nn.Module], Optimizer]


def adam(model: nn.Module) -> Optimizer:
    return Adam(model.named_parameters(), lr=1e-2)


def make(case: Case, optimizer: Build = adam, **options: Any) -> TrainStep:
    model = case.build().init(3)
    options = {"mode": "interpreter", **options}
    return TrainStep(model, case.loss, optimizer(model), seed=5, **options)


def run(step: TrainStep, case: Case, steps: range, sizes: tuple[int, ...] = (8,)) -> list[Any]:
    return [step(case.batch(sizes[n % len(sizes)], n), step=n, lr=1e-2 / (1 + n)) for n in steps]


def same(found: Any, expected: Any) -> None:
    """Equal to the bit, whatever is nested."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            same(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        assert type(found) is type(expected)
        assert np.asarray(found).tobytes() == np.asarray(expected).tobytes()


OPTIONS: list[dict[str, Any]] = [
    {},
    {"clip_norm": 0.1},
    {"clip_value": 0.01},
    {"ema": 0.9},
    {"accumulate": 4},
    {"accumulate": 3, "clip_norm": 0.1, "clip_value": 0.05, "ema": 0.99},
]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "+".join(o) or "plain")
def test_both_modes_agree_to_the_bit(name: str, options: dict[str, Any]) -> None:
    case = CASES[name]
    graph, eager = make(case, **options), make(case, mode="eager", **options)
    sizes = (8, 8, 7)
    same(run(graph, case, range(9), sizes), run(eager, case, range(9), sizes))
    same(graph.state_dict(), eager.state_dict())
    assert len(graph.state_dict()) > 2


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda m: SGD(m.named_parameters(), lr=0.1, momentum=0.9, nesterov=True),
        lambda m: SGD(m.named_parameters(), lr=0.1),
        lambda m: Adam(m.named_parameters(), amsgrad=True, weight_decay=0.1),
        lambda m: RMSprop(m.named_parameters(), momentum=0.9),
        lambda m: AdamW(m.named_parameters(), groups=[Group("0.*", lr=1e-4, weight_decay=0.0)]),
    ],
)
def test_both_modes_agree_for_every_kind_of_optimizer(optimizer: Build) -> None:
    case = CASES["mlp"]
    graph, eager = make(case, optimizer), make(case, optimizer, mode="eager")
    same(run(graph, case, range(5)), run(eager, case, range(5)))
    same(graph.state_dict(), eager.state_dict())


@pytest.mark.parametrize("mode", ["interpreter", "eager"])
def test_the_step_is_that_of_a_loop_by_hand(mode: Any) -> None:
    case = CASES["residual"]
    step = make(case, mode=mode)
    model = case.build().init(3)
    optimizer = adam(model)
    average = EMA(model.named_parameters(), 0.9)
    for n in range(4):
        batch = case.batch(8, n)
        loss = case.loss(model, {name: engine.tensor(a) for name, a in batch.items()})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(lr=0.01)
        average.update()
        assert step(batch, step=n, lr=0.01)["loss"] == pytest.approx(loss.item(), rel=1e-6)
    for name, p in model.named_parameters():
        mine = dict(step.model.named_parameters())[name]
        np.testing.assert_allclose(mine.numpy(), p.numpy(), rtol=1e-5, atol=1e-7)


def test_averages_follow_the_weights_as_ema_does() -> None:
    case = CASES["residual"]
    step = make(case, ema=0.9)
    watched = EMA(step.model.named_parameters(), 0.9)
    assert watched.averages  # taken before the first step
    for n in range(5):
        step(case.batch(8, n), step=n, lr=0.01)
        watched.update()
    for name, average in watched.averages.items():
        np.testing.assert_allclose(step.averages[name], average.numpy(), rtol=1e-5, atol=1e-7)


def test_learning_lowers_the_loss() -> None:
    case = CASES["residual"]
    step = make(case)
    batch = case.batch(32, 0)
    losses = [step(batch, step=n, lr=1e-2)["loss"] for n in range(100)]
    assert losses[-1] < 0.2 * losses[0]


def test_accumulated_parts_give_the_gradients_of_the_whole() -> None:
    case = CASES["residual"]
    whole, parts = make(case), make(case, accumulate=3)
    for n in range(3):
        batch = case.batch(8, n)
        one, other = whole(batch, step=n, lr=0.01), parts(batch, step=n, lr=0.01)
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)


def test_metrics_of_parts_are_put_together() -> None:
    case = CASES["words"]
    whole, parts = make(case), make(case, accumulate=3)
    batch = case.batch(8, 0)
    one, other = whole(batch, step=0, lr=0.0), parts(batch, step=0, lr=0.0)
    same(other["right"], one["right"])
    assert other["right"].shape == (8,)
    assert other["accuracy"] == pytest.approx(one["accuracy"])


def test_more_parts_than_examples_are_as_many_as_examples() -> None:
    case = CASES["residual"]
    step = make(case, accumulate=5)
    found = step(case.batch(2, 0), step=0, lr=0.0)
    assert found["loss"] == pytest.approx(make(case)(case.batch(2, 0), step=0, lr=0.0)["loss"])


def test_clipping_limits_the_step_and_tells_the_norm_before() -> None:
    case = CASES["residual"]

    def sgd(model: nn.Module) -> Optimizer:
        return SGD(model.named_parameters(), lr=1.0)

    step = make(case, sgd, clip_norm=0.01)
    before = step.model.state_dict()
    found = step(case.batch(8, 0), step=0, lr=1.0)
    moved = [step.model.state_dict()[name] - before[name] for name in before]
    assert found["grad_norm"] > 0.01
    assert np.sqrt(sum((m * m).sum() for m in moved)) == pytest.approx(0.01, rel=1e-4)
    assert found["grad_norm"] == make(case, sgd)(case.batch(8, 0), step=0, lr=1.0)["grad_norm"]


class _Metric(nn.Module):
    """A loss that learns a scale and counts its calls."""

    def __init__(self) -> None:
        self.scale = nn.Parameter((1,), nn.init.ones)
        self.calls = nn.Buffer((), dtype="int64")

    def forward(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        set_buffer(self.calls, self.calls + 1)
        return (model(batch["x"]) * self.scale - batch["y"]).square().mean()


@pytest.mark.parametrize("mode", ["interpreter", "eager"])
def test_a_loss_may_be_a_module_that_learns(mode: Any) -> None:
    case = CASES["residual"]

    def build() -> TrainStep:
        model, loss = case.build().init(1), _Metric().init(1)
        named = [*model.named_parameters(), *loss.named_parameters()]
        return TrainStep(model, loss, SGD(named, lr=0.1), mode=mode)

    step = build()
    run(step, case, range(3))
    saved = step.state_dict()
    assert saved["loss.calls"] == 3
    assert saved["loss.scale"] != 1.0
    other = build()
    other.load_state_dict(saved)
    same(run(other, case, range(3, 5)), run(step, case, range(3, 5)))


def test_parameters_that_only_the_optimizer_knows_are_kept_too() -> None:
    case = CASES["residual"]
    model, stray = case.build().init(1), nn.Parameter((1,), nn.init.ones)
    stray.init(0, "stray")

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return (model(batch["x"]) * stray - batch["y"]).square().mean()

    named = [*model.named_parameters(), ("stray", stray)]
    step = TrainStep(model, loss, SGD(named, lr=0.1), mode="interpreter")
    run(step, case, range(2))
    assert step.state_dict()["other.stray"] == stray.numpy() != 1.0


def test_numbers_in_a_batch_are_part_of_the_program() -> None:
    case = CASES["residual"]
    model = case.build().init(1)

    def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        return (model(batch["x"]) - batch["y"]).square().mean() * batch["scale"]

    step = TrainStep(model, loss, adam(model), mode="interpreter")
    one, two = (step({**case.batch(8, 0), "scale": s}, step=0, lr=0.0)["loss"] for s in (1.0, 2.0))
    assert two == pytest.approx(2 * one)


def test_a_step_learns_inside_no_grad() -> None:
    case = CASES["residual"]
    step, other = make(case), make(case)
    with engine.no_grad():
        found = run(step, case, range(2))
    same(found, run(other, case, range(2)))


# Randomness


def test_dropout_draws_anew_at_every_step_and_the_same_again() -> None:
    case = CASES["mlp"]
    batch = case.batch(8, 0)
    first, second, again = (make(case)(batch, step=n, lr=0.0)["loss"] for n in (0, 1, 0))
    assert first != second
    assert first == again
    model = case.build().init(3)
    other = TrainStep(model, case.loss, adam(model), seed=6, mode="interpreter")
    assert other(batch, step=0, lr=0.0)["loss"] != first


def test_parts_of_a_batch_draw_different_numbers() -> None:
    model = nn.Sequential(nn.Linear(4, 64, bias=False), nn.Dropout(0.5)).init(0)
    step = TrainStep(
        model,
        lambda m, b: (m(b["x"]).sum(), {"y": m(b["x"])}),
        adam(model),
        accumulate=2,
        mode="interpreter",
    )
    x = np.tile(np.ones((1, 4), "float32"), (2, 1))
    y = step({"x": x}, step=0, lr=0.0)["y"]
    assert ((y[0] == 0) != (y[1] == 0)).any()


# Plans


def test_one_plan_is_kept_for_each_shape() -> None:
    case = CASES["mlp"]
    step = make(case)
    run(step, case, range(6), (8, 8, 3))
    assert len(step._runners._plans) == 2


def test_old_plans_make_room_for_new_ones() -> None:
    case = CASES["residual"]
    step, eager = make(case), make(case, mode="eager")
    sizes = tuple(range(2, 14))
    same(run(step, case, range(24), sizes), run(eager, case, range(24), sizes))


def test_nothing_that_changes_is_baked_into_the_plan() -> None:
    plan = make(CASES["mlp"]).plan(CASES["mlp"].batch(8, 0))
    names = [slot.name for slot in plan.inputs]
    assert {"batch.x", "batch.y", "seed", "step", "lr"} <= set(names)
    assert {"model.0.weight", "optimizer.exp_avg.0.weight"} <= set(names)
    assert sum(buffer.nbytes for buffer in plan.buffers if buffer.kind == "constant") < 1000


def test_parameters_and_optimizer_state_are_updated_in_place_without_copies() -> None:
    plan = make(CASES["convnet"], ema=0.9).plan(CASES["convnet"].batch(8, 0))
    assert all(launch.op is not None for launch in plan.launches)
    assert {plan.inputs[source].name.partition(".")[0] for source in plan.updates} == {
        "model",
        "optimizer",
        "ema",
    }


def test_the_arrays_of_the_model_stay_the_same_objects() -> None:
    case = CASES["convnet"]
    step = make(case)
    run(step, case, range(1))
    before = {name: id(p.data) for name, p in step.model.named_parameters()}
    run(step, case, range(1, 3))
    assert before == {name: id(p.data) for name, p in step.model.named_parameters()}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("options", [{}, {"accumulate": 3, "clip_norm": 1.0, "ema": 0.9}])
def test_graphs_and_memory_of_whole_steps_are_sound(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    model = case.build()
    program = Program(model, case.loss, adam(model), Options(**options))
    types = {n: TensorType(a.shape, a.dtype) for n, a in case.batch(8, 0).items()}
    traced = verify(trace_step(program, types))
    graph = verify(simplify(traced))
    assert len(graph.nodes) < len(traced.nodes)
    first = len(graph.inputs) - len(dict(program.leaves()))
    resident = range(first, len(graph.inputs))
    memory = plan_memory(graph, resident)
    check_memory(graph, memory)
    assert memory.copies == []

    monkeypatch.setattr(arena, "SPARE", -1)
    tight = plan_memory(graph, resident)
    check_memory(graph, tight)
    assert tight.size <= memory.size <= tight.size + SPARE
    assert tight.size < 1.2 * tight.live + 2000


def test_a_batch_may_be_given_by_types_to_see_the_plan() -> None:
    kind = TensorType((4, 6), np.dtype("float32")), TensorType((4, 1), np.dtype("float32"))
    plan = make(CASES["residual"]).plan({"x": kind[0], "y": kind[1]})
    assert "linear" in plan.describe()


# The model beside the step


def test_the_model_can_be_used_between_steps() -> None:
    case = CASES["residual"]
    step, alone = make(case), make(case)
    predict = Inference(step.model, mode="interpreter")
    for n in range(3):
        same([step(case.batch(8, n), step=n, lr=0.01)], [alone(case.batch(8, n), step=n, lr=0.01)])
        x = case.batch(4, 9)["x"]
        same(predict(x), step.model(engine.tensor(x)).numpy())


def test_new_arrays_of_a_parameter_are_taken_over() -> None:
    case = CASES["residual"]
    step, other = make(case), make(case)
    run(step, case, range(2))
    run(other, case, range(2))
    step.model.inner.weight.data = np.asfortranarray(np.ones((6, 6), "float32"))
    other.model.inner.weight.data[...] = 1.0
    same(run(step, case, range(2, 4)), run(other, case, range(2, 4)))


def test_a_parameter_of_another_dtype_makes_new_plans() -> None:
    case = CASES["residual"]
    step = make(case, lambda m: SGD(m.named_parameters(), lr=0.1))
    run(step, case, range(1))
    step.model.to("float64")
    run(step, case, range(1, 3))
    assert step.model.inner.weight.dtype == np.float64


def test_frozen_parameters_stay_and_may_thaw() -> None:
    case = CASES["residual"]
    for mode in ("interpreter", "eager"):
        step = make(case, mode=mode)
        step.model.freeze("inner.*")
        before = step.model.inner.weight.numpy().copy()
        run(step, case, range(2))
        assert step.model.inner.weight.numpy().tobytes() == before.tobytes()
        step.model.unfreeze()
        run(step, case, range(2, 4))
        assert step.model.inner.weight.numpy().tobytes() != before.tobytes()


def test_hooks_of_parameters_see_their_gradients() -> None:
    case = CASES["residual"]
    for mode in ("interpreter", "eager"):
        step = make(case, mode=mode)
        step.model.head.weight.register_hook(lambda g: g * 0.0)
        before = step.model.head.weight.numpy().copy()
        run(step, case, range(2))
        assert step.model.head.weight.numpy().tobytes() == before.tobytes()


# State


@pytest.mark.parametrize("name", ["mlp", "convnet"])
@pytest.mark.parametrize("mode", ["interpreter", "eager"])
def test_resuming_gives_the_bytes_of_a_run_without_a_break(name: str, mode: Any) -> None:
    case = CASES[name]
    options: dict[str, Any] = {"ema": 0.9, "clip_norm": 0.5, "mode": mode}
    straight = make(case, **options)
    expected = run(straight, case, range(8), (8, 5))
    first = make(case, **options)
    run(first, case, range(5), (8, 5))
    saved = first.state_dict()
    run(first, case, range(5, 7), (8, 5))  # what is saved does not change any more
    model = case.build().init(99)
    second = TrainStep(model, case.loss, adam(model), seed=5, **options)
    second.load_state_dict(saved)
    same(run(second, case, range(5, 8), (8, 5)), expected[5:])
    same(second.state_dict(), straight.state_dict())


def test_the_optimizer_counts_the_steps() -> None:
    case = CASES["residual"]
    for mode in ("interpreter", "eager"):
        step = make(case, mode=mode)
        run(step, case, range(3))
        assert step.optimizer.steps == 3
        assert step.state_dict()["optimizer.steps"] == 3


def test_loading_goes_on_in_a_step_that_has_run() -> None:
    case = CASES["mlp"]
    step = make(case, ema=0.9)
    run(step, case, range(2))
    saved = step.state_dict()
    expected = run(step, case, range(2, 4))
    step.load_state_dict(saved)
    same(run(step, case, range(2, 4)), expected)


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    case = CASES["residual"]
    step = make(case, ema=0.9)
    run(step, case, range(1))
    before = step.state_dict()
    bad = {name: array + 1 for name, array in before.items()}
    del bad["ema.head.weight"]
    bad["optimizer.exp_avg.head.bias"] = np.zeros(7, "float32")
    bad["model.extra"] = np.zeros(1)
    with pytest.raises(StateError) as caught:
        step.load_state_dict(bad)
    told = str(caught.value)
    assert "missing: ema.head.weight" in told
    assert "misshapen: optimizer.exp_avg.head.bias" in told
    assert "extra: model.extra" in told
    same(step.state_dict(), before)


# Threads


def test_steps_of_two_models_may_run_in_two_threads() -> None:
    cases = [CASES["mlp"], CASES["convnet"], CASES["words"], CASES["residual"]]
    expected = [run(make(case), case, range(6), (8, 5)) for case in cases]

    def work(case: Case) -> list[Any]:
        return run(make(case), case, range(6), (8, 5))

    with ThreadPoolExecutor(4) as pool:
        same(list(pool.map(work, cases)), expected)


# Refusals


def test_losses_that_went_astray_are_returned() -> None:
    case = CASES["residual"]
    step = make(case)
    batch = case.batch(8, 0)
    batch["y"][0] = np.nan
    found = step(batch, step=0, lr=0.01)
    assert np.isnan(found["loss"])
    assert np.isnan(found["grad_norm"])


def test_an_uninitialised_model_says_what_to_do() -> None:
    case = CASES["residual"]
    model = case.build()
    with pytest.raises(StateError, match=r"init\(seed=0\)"):
        TrainStep(model, case.loss, adam(model))(case.batch(8, 0), step=0, lr=0.1)


def test_a_model_in_evaluation_mode_says_what_to_do() -> None:
    case = CASES["residual"]
    step = make(case)
    step.model.eval()
    with pytest.raises(StateError, match=r"model\.train\(\)"):
        run(step, case, range(1))


def refused(loss: Any, error: type[Exception], match: str, mode: Any = "interpreter") -> None:
    case = CASES["residual"]
    model = case.build().init(0)
    step = TrainStep(model, loss, adam(model), mode=mode)
    before = model.state_dict()
    with pytest.raises(error, match=match):
        step(case.batch(8, 0), step=0, lr=0.1)
    same(model.state_dict(), before)
    assert isinstance(model.head.weight.data, np.ndarray)


@pytest.mark.parametrize("mode", ["interpreter", "eager"])
def test_a_loss_must_be_one_number(mode: Any) -> None:
    refused(lambda m, b: m(b["x"]), GradientError, "one number", mode)
    refused(lambda m, b: 3.0, GradientError, "got float", mode)


@pytest.mark.parametrize("mode", ["interpreter", "eager"])
def test_a_loss_must_depend_on_the_parameters(mode: Any) -> None:
    refused(lambda m, b: b["x"].sum(), GradientError, "depend", mode)


@pytest.mark.parametrize("mode", ["interpreter", "eager"])
def test_metrics_keep_clear_of_the_names_of_the_step(mode: Any) -> None:
    refused(lambda m, b: (m(b["x"]).sum(), {"loss": b["x"].sum()}), StateError, "'loss'", mode)


def test_a_loss_that_looks_at_numbers_is_refused() -> None:
    refused(lambda m, b: m(b["x"]).sum() if b["x"].sum() > 0 else 0, TracingError, "while tracing")


def test_a_batch_that_cannot_be_cut_is_refused() -> None:
    case = CASES["residual"]
    batch = case.batch(8, 0)
    batch["y"] = batch["y"][:7]
    with pytest.raises(ShapeError, match="first axis"):
        make(case, accumulate=2)(batch, step=0, lr=0.1)


@pytest.mark.parametrize(
    "options", [{"mode": "fast"}, {"accumulate": 0}, {"ema": 1.0}, {"ema": -0.1}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        make(CASES["residual"], **options)


def test_a_step_that_failed_can_go_on() -> None:
    case = CASES["residual"]
    step, other = make(case), make(case)
    with pytest.raises(ShapeError):
        step({"x": np.zeros((8, 7), "float32"), "y": np.zeros((8, 1), "float32")}, step=0, lr=0.1)
    same(run(step, case, range(3)), run(other, case, range(3)))
