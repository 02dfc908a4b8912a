from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import engine
from engine.errors import (
    AxisError,
    DeviceError,
    DtypeError,
    EngineError,
    GradientError,
    ShapeError,
    TracingError,
)
from engine.ir.graph import Graph, TensorType


def numbers(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int), dtype=np.float64).reshape(shape)


def symbol(*shape: int) -> engine.Tensor:
    graph = Graph()
    return engine.Tensor(graph.input(TensorType(shape, np.dtype("float32"))))


OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize(
    "other", ["tensor", "array", "number", "reversed number", "reversed array"]
)
def test_operators_are_those_of_numpy(sign: str, other: str) -> None:
    run = OPERATORS[sign]
    a, b = numbers(2, 3) + 0.5, np.array([1.5, 2.0, 3.0])
    x = engine.tensor(a)
    got, expected = {
        "tensor": lambda: (run(x, engine.tensor(b)), run(a, b)),
        "array": lambda: (run(x, b), run(a, b)),
        "number": lambda: (run(x, 2.0), run(a, 2.0)),
        "reversed number": lambda: (run(2.0, x), run(2.0, a)),
        "reversed array": lambda: (run(b, x), run(b, a)),
    }[other]()
    assert isinstance(got, engine.Tensor)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-14)
    assert got.dtype == expected.dtype


def test_operators_on_integers_and_truths() -> None:
    a, b = np.array([5, -7, 12]), np.array([3, 3, 5])
    x, y = engine.tensor(a), engine.tensor(b)
    for run in (
        lambda p, q: p & q, lambda p, q: p | q, lambda p, q: p ^ q, lambda p, q: ~p,
        lambda p, q: p << q, lambda p, q: p >> 1, lambda p, q: p // q, lambda p, q: p % q,
        lambda p, q: -p, lambda p, q: abs(p), lambda p, q: p**2, lambda p, q: p**3,
    ):  # fmt: skip
        np.testing.assert_array_equal(run(x, y).numpy(), run(a, b))
    assert ((x > 0) & (y > 0)).tolist() == [True, False, True]


def test_matrix_product_follows_numpy_for_every_rank() -> None:
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
        ((5, 2, 3), (5, 3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)),
    ]  # fmt: skip
    for left, right in shapes:
        a, b = numbers(*left), numbers(*right)
        got = engine.tensor(a) @ engine.tensor(b)
        np.testing.assert_allclose(got.numpy(), a @ b)
        assert got.shape == (a @ b).shape


SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_basic_indexing_is_that_of_numpy(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    a = numbers(*shape)
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    np.testing.assert_array_equal(engine.tensor(a)[key].numpy(), a[key])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_integer_indexing_is_that_of_numpy(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=4))
    result = data.draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=3))
    parts: list[Any] = []
    for n in shape:
        kind = data.draw(st.sampled_from(["array", "slice", "number", "all"]))
        places = hnp.arrays(np.int64, result, elements=st.integers(-n, n - 1))
        chosen: dict[str, st.SearchStrategy[Any]] = {
            "array": places,
            "slice": st.slices(n),
            "number": st.integers(-n, n - 1),
            "all": st.just(slice(None)),
        }
        parts.append(data.draw(chosen[kind]))
    key, a = tuple(parts), numbers(*shape)
    np.testing.assert_array_equal(engine.tensor(a)[key].numpy(), a[key])


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_masks_are_those_of_numpy(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    lead = data.draw(st.integers(1, len(shape)))
    mask = data.draw(hnp.arrays(bool, shape[:lead]))
    a = numbers(*shape)
    np.testing.assert_array_equal(engine.tensor(a)[engine.tensor(mask)].numpy(), a[mask])
    np.testing.assert_array_equal(engine.tensor(a)[mask].numpy(), a[mask])


def test_the_gradient_of_indexing_counts_every_use() -> None:
    x = engine.tensor(numbers(4, 3), requires_grad=True)
    (x[[0, 0, -1]].sum() + x[1:, 0].sum() + x[::2, [2, 2]].sum()).backward()
    expected = np.zeros((4, 3))
    np.add.at(expected, [0, 0, -1], 1)
    expected[1:, 0] += 1
    expected[::2, 2] += 2
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_wrong_indices_name_the_axis_and_its_length() -> None:
    x = engine.tensor(numbers(2, 3))
    with pytest.raises(AxisError, match="index 5 is out of range for axis 1, which has 3"):
        x[0, 5]
    with pytest.raises(AxisError, match="index 7 is out of range for an axis of 2"):
        x[[0, 7]]
    with pytest.raises(AxisError, match="3 indices for the 2 axes"):
        x[0, 0, 0]
    with pytest.raises(DtypeError, match="an index of integers"):
        x[[0.5]]


def test_assignment_into_a_tensor_is_refused_with_advice() -> None:
    with pytest.raises(EngineError, match=r"engine\.where\(mask, value, x\)"):
        engine.zeros(3)[0] = 1.0


METHODS: list[tuple[str, Any, Any]] = [
    ("sum", lambda x: x.sum(1), lambda a: a.sum(1)),
    ("mean", lambda x: x.mean((0, 2), keepdims=True), lambda a: a.mean((0, 2), keepdims=True)),
    ("var", lambda x: x.var(-1), lambda a: a.var(-1, ddof=1)),
    ("std", lambda x: x.std(correction=0), lambda a: a.std()),
    ("prod", lambda x: x.prod(2), lambda a: a.prod(2)),
    ("amax", lambda x: x.amax((0, 1)), lambda a: a.max((0, 1))),
    ("max", lambda x: x.max(), lambda a: a.max()),
    ("max along", lambda x: x.max(1)[0], lambda a: a.max(1)),
    ("min places", lambda x: x.min(2)[1], lambda a: a.argmin(2)),
    ("argmax", lambda x: x.argmax(), lambda a: a.argmax()),
    ("argmin", lambda x: x.argmin(0, keepdims=True), lambda a: a.argmin(0, keepdims=True)),
    ("norm", lambda x: x.norm(), lambda a: np.linalg.norm(a)),
    ("norm 1", lambda x: x.norm(1, 0), lambda a: abs(a).sum(0)),
    ("norm 3", lambda x: x.norm(3), lambda a: (abs(a) ** 3).sum() ** (1 / 3)),
    ("norm inf", lambda x: x.norm(float("inf"), 1), lambda a: abs(a).max(1)),
    ("count", lambda x: x.count_nonzero(), lambda a: np.count_nonzero(a)),
    ("any", lambda x: x.any(1), lambda a: a.any(1)),
    ("all", lambda x: x.all(), lambda a: a.all()),
    ("cumsum", lambda x: x.cumsum(1), lambda a: a.cumsum(1)),
    ("reshape", lambda x: x.reshape(4, -1), lambda a: a.reshape(4, -1)),
    ("view", lambda x: x.view((6, 4)), lambda a: a.reshape(6, 4)),
    ("transpose", lambda x: x.transpose(0, -1), lambda a: a.swapaxes(0, -1)),
    ("permute", lambda x: x.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    ("movedim", lambda x: x.movedim(0, -1), lambda a: np.moveaxis(a, 0, -1)),
    ("flatten", lambda x: x.flatten(1), lambda a: a.reshape(2, 12)),
    ("unflatten", lambda x: x.unflatten(2, (2, -1)), lambda a: a.reshape(2, 3, 2, 2)),
    ("unsqueeze", lambda x: x.unsqueeze(1), lambda a: a[:, None]),
    ("squeeze", lambda x: x[:1].squeeze(), lambda a: a[0]),
    ("expand", lambda x: x[:, :1].expand(2, 5, -1), lambda a: np.tile(a[:, :1], (1, 5, 1))),
    ("repeat", lambda x: x.repeat(2, 1, 3), lambda a: np.tile(a, (2, 1, 3))),
    ("flip", lambda x: x.flip((0, 2)), lambda a: np.flip(a, (0, 2))),
    ("split", lambda x: x.split(2, 2)[1], lambda a: a[:, :, 2:]),
    ("chunk", lambda x: x.chunk(2, 1)[1], lambda a: a[:, 2:]),
    ("unbind", lambda x: x.unbind(1)[2], lambda a: a[:, 2]),
    ("narrow", lambda x: x.narrow(2, 1, 2), lambda a: a[:, :, 1:3]),
    ("clamp", lambda x: x.clamp(3, 9), lambda a: a.clip(3, 9)),
    ("tril", lambda x: x.tril(1), lambda a: np.tril(a, 1)),
    ("triu", lambda x: x.triu(-1), lambda a: np.triu(a, -1)),
    ("sort", lambda x: x.sort(2, descending=True)[0], lambda a: -np.sort(-a, 2)),
    ("topk", lambda x: x.topk(2, 1)[0], lambda a: -np.sort(-a, 1)[:, :2]),
    ("T", lambda x: x.T, lambda a: a.swapaxes(-1, -2)),
    ("astype", lambda x: x.astype("int32"), lambda a: a.astype("int32")),
    (
        "gather",
        lambda x: x.gather(1, x.argmax(1, keepdims=True)),
        lambda a: a.max(1, keepdims=True),
    ),
    ("masked_fill", lambda x: x.masked_fill(x > 5, -1.0), lambda a: np.where(a > 5, -1, a)),
]


@pytest.mark.parametrize(("run", "oracle"), [m[1:] for m in METHODS], ids=[m[0] for m in METHODS])
def test_methods_are_those_of_numpy(run: Any, oracle: Any) -> None:
    a = np.random.default_rng(0).permutation(24).reshape(2, 3, 4) / 2.0
    got, expected = run(engine.tensor(a)), np.asarray(oracle(a))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-13)
    assert got.shape == expected.shape


def test_length_iteration_and_truth() -> None:
    x = engine.tensor(numbers(3, 2))
    assert len(x) == 3
    assert [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
    assert bool(engine.tensor([1.0]))
    assert 3.0 in x
    assert float(x[1, 1]) == 3.0
    assert [10, 20, 30][engine.tensor(1)] == 20
    with pytest.raises(ShapeError, match=r"use .any\(\) or .all\(\)"):
        bool(x)
    with pytest.raises(ShapeError, match=r"item: .* has 6 elements, not one"):
        x.item()
    with pytest.raises(TypeError, match="without axes"):
        len(engine.tensor(1.0))


def test_text_shows_numbers_dtype_and_gradient() -> None:
    assert repr(engine.tensor([1.0, 2.0], requires_grad=True)) == (
        "Tensor([1., 2.], dtype=float32, requires_grad=True)"
    )


def test_a_symbol_answers_shapes_and_refuses_numbers() -> None:
    x = symbol(2, 3)
    assert x.shape == (2, 3)
    assert (x * 2).sum(0).shape == (3,)
    for ask in (bool, float, len and (lambda t: t.numpy()), lambda t: t.tolist(), np.asarray):
        with pytest.raises((TracingError, ShapeError)):
            ask(x)
    with pytest.raises(TracingError, match=r"engine\.where"):
        bool(x.sum() > 0)
    with pytest.raises(TracingError, match="boolean mask"):
        x[x > 0]


def test_numpy_and_dlpack_see_the_same_memory() -> None:
    x = engine.tensor(numbers(3))
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert np.shares_memory(np.from_dlpack(x), x.numpy())
    a = numbers(4)
    assert np.shares_memory(engine.from_dlpack(a).numpy(), a)


def test_tensor_copies_what_it_is_given() -> None:
    a = numbers(3)
    x = engine.tensor(a)
    a[0] = 9
    assert x.tolist() == [0, 1, 2]
    clone = x.clone()
    assert not np.shares_memory(clone.numpy(), x.numpy())


def test_assign_takes_over_numbers_and_leaves_older_results_alone() -> None:
    w = engine.ones(2).requires_grad_()
    y = (w * w).sum()
    w.assign_(engine.full(2, value=5.0))
    assert w.tolist() == [5.0, 5.0]
    assert y.item() == 2.0
    with pytest.raises(ShapeError, match="assign_"):
        w.assign_(engine.ones(3))
    with pytest.raises(GradientError, match="only leaves"):
        y.assign_(engine.tensor(1.0))


def test_assign_swaps_symbols() -> None:
    x, held = symbol(2), engine.zeros(2)
    held.assign_(x + 1)
    assert held.is_symbolic


def test_contiguous_tensors_are_left_alone() -> None:
    x = engine.tensor(numbers(2, 3))
    assert x.contiguous() is x
    assert x.T.contiguous().numpy().flags.c_contiguous


def test_devices_are_named_and_missing_ones_explained() -> None:
    x = engine.ones(2)
    assert x.device == "cpu"
    assert x.to("cpu") is x
    with pytest.raises(DeviceError, match="no device is called 'tpu'"):
        engine.tensor([1.0], device="tpu")


@pytest.mark.skipif(engine.is_available("cuda"), reason="there is a GPU here")
def test_a_missing_gpu_says_what_to_install() -> None:
    with pytest.raises(DeviceError, match=r"needs CuPy.*pip install|needs an NVIDIA GPU"):
        engine.ones(2).to("cuda")


CREATION: list[tuple[Any, Any]] = [
    (lambda: engine.zeros(2, 3), np.zeros((2, 3), "f")),
    (lambda: engine.ones((2, 3), dtype="int64"), np.ones((2, 3), "i8")),
    (lambda: engine.full(2, value=7), np.full(2, 7)),
    (lambda: engine.arange(5), np.arange(5)),
    (lambda: engine.arange(1, 2, 0.25), np.arange(1, 2, 0.25, "f")),
    (lambda: engine.arange(5, 0, -2), np.arange(5, 0, -2)),
    (lambda: engine.linspace(0, 1, 5), np.linspace(0, 1, 5, dtype="f")),
    (lambda: engine.eye(3, 4), np.eye(3, 4, dtype="f")),
    (lambda: engine.zeros_like(engine.ones(2, dtype="int32")), np.zeros(2, "i4")),
    (lambda: engine.meshgrid(engine.arange(2), engine.arange(3))[1], np.mgrid[:2, :3][1]),
    (
        lambda: engine.meshgrid(engine.arange(2), engine.arange(3), indexing="xy")[0],
        np.meshgrid(np.arange(2), np.arange(3))[0],
    ),
]


@pytest.mark.parametrize(("make", "expected"), CREATION)
def test_creation_is_that_of_numpy(make: Any, expected: np.ndarray) -> None:
    got = make()
    np.testing.assert_allclose(got.numpy(), expected)
    assert got.dtype == expected.dtype


def test_every_public_name_is_there() -> None:
    assert [n for n in engine.__all__ if not hasattr(engine, n)] == []
