"""Every operation that has C against its reference in float64, over samples and odd shapes."""

from typing import Any

import numpy as np
import pytest

import engine
from engine.backend.cpu.source import emit
from engine.compile.plan import make_plan
from engine.dispatch import apply, single
from engine.ops.registry import outputs_of
from engine.ops.softmax import log_softmax, softmax
from engine.testing.samples import samples
from tests.engine.backend.cpu import programs as p

Arrays = tuple[np.ndarray, ...]

#: Draws give the very bits of the reference, so float32 is compared with float32.
DRAWS = ("uniform", "normal", "randint", "random_keys", "dropout")


def narrowed(arrays: Arrays) -> list[np.ndarray]:
    return [np.array(a, np.float32 if a.dtype == np.float64 else None, order="C") for a in arrays]


def covered(name: str, arrays: Arrays, attrs: dict[str, Any]) -> bool:
    plan = make_plan(p.of_op(name, narrowed(arrays), **attrs))
    return bool(plan.launches) and all(emit(launch) is not None for launch in plan.launches)


CASES = [
    pytest.param(name, arrays, attrs, id=f"{name}-{i}")
    for name, pairs in samples().items()
    for i, (arrays, attrs) in enumerate(pairs)
    if covered(name, arrays, attrs)
]


def test_most_operations_have_c() -> None:
    names = {str(case.values[0]) for case in CASES}
    assert len(names) > 80
    assert {"matmul", "linear", "sum", "cross_entropy", "softmax", "cat", "relu"} <= names


@pytest.mark.parametrize("batch", range(8))
def test_samples_agree_with_their_references(batch: int) -> None:
    """Eight plans for all of them: a compiler's start costs more than a kernel."""
    cases = [case.values for case in CASES[batch::8]]
    given = [narrowed(arrays) for _, arrays, _ in cases]  # type: ignore[misc]
    flat = [a for arrays in given for a in arrays]

    def all_of_them(*tensors: engine.Tensor) -> list[engine.Tensor]:
        rest, found = list(tensors), []
        for (name, _, attrs), arrays in zip(cases, given, strict=True):
            own, rest = rest[: len(arrays)], rest[len(arrays) :]
            found += outputs_of(apply(name, *own, **attrs))
        return found

    made = p.run(p.of_function(all_of_them, flat), flat)
    expected = []
    for (name, _, attrs), arrays in zip(cases, given, strict=True):
        wide = arrays if name in DRAWS else p.widened(arrays)
        expected += p.interpreted(p.of_op(name, wide, **attrs), wide)  # type: ignore[arg-type]
    for one, other in zip(made, expected, strict=True):
        p.close(one, other)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def agree(function: Any, *arrays: np.ndarray, tolerance: float = 1e-5, whole: bool = True) -> None:
    """A function of tensors in C against the interpreter in float64."""
    found = p.run(p.of_function(function, arrays), arrays, whole=whole)
    wide = p.widened(arrays)
    expected = p.interpreted(p.of_function(function, wide), wide)
    for one, other in zip(found, expected, strict=True):
        p.close(one, other, tolerance)


SHAPES: list[tuple[int, ...]] = [
    (1,), (7,), (257,), (100_003,), (1, 1), (13, 5), (64, 10), (1, 300), (300, 1), (3, 129, 17),
    (700, 65), (20_011, 7), (4, 3, 6, 5),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reductions_over_any_axes(shape: tuple[int, ...]) -> None:
    subsets = [
        tuple(i for i in range(len(shape)) if mask >> i & 1) for mask in range(1, 1 << len(shape))
    ]

    def f(x: engine.Tensor) -> list[engine.Tensor]:
        found = []
        for axes in subsets:
            found += [x.sum(axes), x.amax(axes, keepdims=True), x.amin(axes), x.mean(axes)]
            found += [(x > 1.0).any(axes), (x > -2.0).all(axes), (x > 0.0).sum(axes)]
        return found

    agree(f, numbers(*shape))


def test_reductions_over_all_but_the_channels() -> None:
    agree(lambda x: [x.sum((0, 2, 3)), x.square().mean((0, 2, 3))], numbers(8, 31, 9, 9))


def test_reductions_read_any_strides() -> None:
    def f(x: engine.Tensor) -> list[engine.Tensor]:
        views = [x.transpose(0, 1), x[::-1], x[1::2, ::3], engine.expand(x[:, :1], (17, 23))]
        return [v.sum(axis) for v in views for axis in (0, 1, (0, 1))]

    agree(f, numbers(17, 23))


def test_long_sums_stay_exact() -> None:
    x = (1.0 + np.random.default_rng(0).random(1_000_003)).astype(np.float32)
    (found,) = p.run(p.of_op("sum", [x], axes=(0,), keepdims=False), [x])
    assert abs(float(found) / x.astype(np.float64).sum() - 1) < 1e-7


def test_extremes_pass_nan_on() -> None:
    x = numbers(40, 33)
    x[3, 7] = np.nan

    def f(x: engine.Tensor) -> list[engine.Tensor]:
        return [x.amax(0), x.amin(1), x.amax(), x.argmax(1), x.argmin(0), x.argmax()]

    agree(f, x)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((1, 1), (1, 1)), ((1, 7), (7, 1)), ((7, 1), (1, 5)), ((5, 3), (3, 9)),
        ((257, 129), (129, 65)), ((64, 512), (512, 640)), ((3, 5, 7), (7, 2)),
        ((4, 6, 5, 3), (4, 6, 3, 8)), ((2, 1, 5, 3), (1, 6, 3, 4)), ((40, 33, 20), (40, 20, 30)),
        ((1000, 3), (3, 1000)), ((245, 520), (520, 50)), ((3, 300), (300, 9)),
        ((13, 256), (256, 31)), ((1300, 1300), (1300, 1200)),
    ],
)  # fmt: skip
def test_products_of_any_shape(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    def f(x: engine.Tensor, y: engine.Tensor) -> list[engine.Tensor]:
        turned = engine.permute(y, [*range(y.ndim - 2), y.ndim - 1, y.ndim - 2])
        copied = turned.contiguous()
        back = engine.permute(copied, [*range(y.ndim - 2), y.ndim - 1, y.ndim - 2])
        return [single("matmul", x, y), single("matmul", x, back)]

    agree(f, numbers(*a), numbers(*b, seed=1))


def test_products_read_transposes_and_slices_in_place() -> None:
    def f(x: engine.Tensor, y: engine.Tensor) -> list[engine.Tensor]:
        return [
            x.transpose(0, 1) @ y, y.transpose(0, 1) @ x, x[:, 3:11].transpose(0, 1) @ y[:, 2:],
            x[10:30] @ y[:24].transpose(0, 1)[:, :24].transpose(0, 1)[:, :9], x[:, :1] @ y[:1],
        ]  # fmt: skip

    agree(f, numbers(40, 24), numbers(40, 30, seed=1))


@pytest.mark.parametrize("rows", [(1,), (5,), (3, 4), (129,)])
@pytest.mark.parametrize("bias", [False, True])
def test_linear_layers(rows: tuple[int, ...], bias: bool) -> None:
    def f(*given: engine.Tensor) -> engine.Tensor:
        return engine.linear(*given)

    given = [numbers(*rows, 33), numbers(65, 33, seed=1), numbers(65, seed=2)]
    agree(f, *given[: 2 + bias])


def test_products_of_doubles() -> None:
    a, b = numbers(9, 5).astype(np.float64), numbers(5, 4).astype(np.float64)
    (found,) = p.run(p.of_op("matmul", [a, b]), [a, b])
    np.testing.assert_allclose(found, a @ b, rtol=1e-14)


@pytest.mark.parametrize("shape", [(1, 1), (64, 10), (3, 33), (2, 5, 7), (17, 1000), (4, 3, 2, 6)])
def test_softmax_along_any_axis(shape: tuple[int, ...]) -> None:
    def f(x: engine.Tensor) -> list[engine.Tensor]:
        return [g(x * 3.0, axis) for g in (softmax, log_softmax) for axis in range(len(shape))]

    agree(f, numbers(*shape))


@pytest.mark.parametrize(
    "shape", [(64, 10), (5, 3, 4), (7, 1000), (1, 1), (37, 2), (16, 31), (15, 32)]
)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_and_its_gradient(
    shape: tuple[int, ...], smoothing: float, weighted: bool
) -> None:
    attrs = {"smoothing": smoothing, "ignore_index": -1}
    rng = np.random.default_rng(3)
    target = rng.integers(-1, shape[1], (shape[0], *shape[2:]))
    weight = [np.abs(numbers(shape[1], seed=5))] if weighted else []
    x = numbers(*shape) * 4
    p.check("cross_entropy", [x, target, *weight], **attrs)
    flow = numbers(*target.shape, seed=8)
    p.check("cross_entropy_grad", [flow, x, target, *weight], **attrs)


def test_a_class_that_does_not_exist_is_the_error_of_the_reference() -> None:
    x, target = numbers(4, 3), np.array([0, 1, 7, 2])
    graph = p.of_op("cross_entropy", [x, target], smoothing=0.0, ignore_index=-100)
    runner = p.native(make_plan(graph))
    with pytest.raises(IndexError, match="class 7") as caught:
        runner.run([x, target])
    assert any("cross_entropy" in note for note in caught.value.__notes__)
    target[2] = 0
    assert np.isfinite(runner.run([x, target])[0]).all()


@pytest.mark.parametrize("classes", [3, 40])
def test_scores_that_are_no_numbers_spoil_their_row_alone(classes: int) -> None:
    x, target = numbers(20, classes), np.arange(20) % classes
    x[2, 0] = x[5, 2] = x[17, 1] = np.nan
    x[9, 1] = np.inf
    attrs = {"smoothing": 0.0, "ignore_index": -100}
    spoilt = [2, 5, 9, 17]
    (losses,) = p.run(p.of_op("cross_entropy", [x, target], **attrs), [x, target])
    assert np.flatnonzero(np.isnan(losses)).tolist() == spoilt
    given = [numbers(20), x, target]
    (slopes,) = p.run(p.of_op("cross_entropy_grad", given, **attrs), given)
    assert np.flatnonzero(np.isnan(slopes).all(1)).tolist() == spoilt
    assert np.flatnonzero(np.isnan(slopes).any(1)).tolist() == spoilt


def test_cross_entropy_of_doubles_and_of_turned_scores() -> None:
    attrs = {"smoothing": 0.25, "ignore_index": 2}
    x, target = numbers(33, 4).astype(np.float64), np.arange(33) % 4
    p.check("cross_entropy", [x, target], **attrs)
    p.check("cross_entropy_grad", [np.ones(33), x, target], **attrs)

    def f(x: engine.Tensor, target: engine.Tensor) -> engine.Tensor:
        return engine.cross_entropy(engine.transpose(x, 0, 1), target)

    agree(f, numbers(5, 40), np.arange(40) % 5)


def test_copies_of_every_kind() -> None:
    def f(x: engine.Tensor, y: engine.Tensor) -> list[engine.Tensor]:
        return [
            x.transpose(0, 1).contiguous(), x.transpose(0, 1).reshape(x.size), x[::-1].contiguous(),
            engine.cat([x, y, x[:, :2]], 1), engine.cat([x, x[1:]], 0), engine.stack([x, x], 2),
            engine.pad(x, (1, 2, 0, 3)), x.to("float64"), x.to("int32"), x.to("bool"),
            (x > 0.0).to("float32"), x.to("int64").to("float32"), x.to("int64").to("uint8"),
            engine.expand(x[:1], x.shape).contiguous(),
        ]  # fmt: skip

    agree(f, numbers(37, 21) * 5, numbers(37, 8, seed=1))


def test_pointwise_with_broadcasts_and_strides() -> None:
    def f(x: engine.Tensor, row: engine.Tensor, column: engine.Tensor) -> list[engine.Tensor]:
        s = row.sum() * 0.01
        return [
            x + row, x * column, (x - s) / (s * s + 1.0), x.transpose(0, 1) * x.transpose(0, 1),
            x[::-1] + x, engine.where(x > row, x, column), x.tanh() * s.exp(), engine.gelu(x),
            engine.maximum(x, column) - engine.minimum(x, row), x.sigmoid(), x.erf(), x.abs().log(),
        ]  # fmt: skip

    agree(f, numbers(53, 37), numbers(37, seed=1), numbers(53, 1, seed=2))


def test_integers_and_truth_values() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(-9, 9, (6, 5)), rng.integers(-9, 9, 5)

    def f(x: engine.Tensor, y: engine.Tensor) -> list[engine.Tensor]:
        low, high = x < y, x > 0
        found = [x + y, x * y, x - y, -x, x == y, x != y, low & high, low | high]
        return [*found, engine.where(low, x, y), x * 2, ~x, x & y, x | y, x ^ y]

    agree(f, x, y)


def test_zeros_of_tensors_fall_back() -> None:
    x = np.zeros((0, 4), np.float32)
    found = p.run(p.of_function(lambda x: [x * 2.0, x.sum(0)], [x]), [x], whole=False)
    assert found[0].shape == (0, 4)
    np.testing.assert_array_equal(found[1], np.zeros(4))


def test_what_has_no_c_runs_between_what_has() -> None:
    def f(x: engine.Tensor) -> list[engine.Tensor]:
        order = (x * 2.0).argsort(0)
        return [order, (order + 1) * 2, x.relu()]

    x = numbers(9)
    graph = p.of_function(f, [x])
    runner = p.native(make_plan(graph))
    assert 0 < runner.compiled < len(runner.plan.launches)
    for one, other in zip(runner.run([x]), p.interpreted(graph, [x]), strict=True):
        np.testing.assert_array_equal(one, other)
