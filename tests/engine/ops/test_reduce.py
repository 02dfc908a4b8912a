import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import engine
from engine.testing import gradcheck, gradgradcheck


@settings(max_examples=100, deadline=None)
@given(hnp.array_shapes(min_dims=1, max_dims=4, max_side=5), st.booleans(), st.data())
def test_sums_are_those_of_numpy(shape: tuple[int, ...], keep: bool, data: st.DataObject) -> None:
    a = np.random.default_rng(0).standard_normal(shape)
    axes = data.draw(hnp.valid_tuple_axes(len(shape)))
    for run, fold in ((engine.sum, np.sum), (engine.amax, np.max), (engine.prod, np.prod)):
        if axes or run is not engine.amax:
            expected = fold(a, axis=axes, keepdims=keep)
            got = run(engine.tensor(a), axes, keep)
            np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-12)
            assert got.shape == expected.shape


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("rows", [513, 100_000])
def test_long_sums_stay_exact_in_float32(keep: bool, rows: int) -> None:
    a = np.full((rows, 3), 0.1, np.float32)
    got = engine.tensor(a).sum(0, keepdims=keep)
    assert got.shape == ((1, 3) if keep else (3,))
    np.testing.assert_allclose(
        got.numpy().reshape(3), [rows * float(np.float32(0.1))] * 3, rtol=2e-6
    )


def test_sums_over_several_axes_stay_exact_in_float32() -> None:
    a = np.full((2000, 4, 64), 0.1, np.float32)
    got = engine.tensor(a).sum((0, 2))
    np.testing.assert_allclose(got.numpy(), [2000 * 64 * float(np.float32(0.1))] * 4, rtol=2e-6)


def test_infinities_in_logsumexp() -> None:
    low = engine.tensor([[-np.inf, -np.inf], [0.0, -np.inf]])
    assert low.logsumexp(1).tolist() == [-np.inf, 0.0]
    assert engine.tensor([np.inf, 1.0]).logsumexp().item() == np.inf
    assert engine.tensor([1000.0, 1000.0]).logsumexp().item() == pytest.approx(1000 + np.log(2))


def test_composites_differentiate() -> None:
    a = np.random.default_rng(0).standard_normal((3, 4))
    for run in (
        lambda x: x.mean(0), lambda x: x.var(1), lambda x: x.std(), lambda x: x.norm(),
        lambda x: x.norm(3.0, 1), lambda x: x.norm(1.0), lambda x: x.norm(float("inf"), 0),
    ):  # fmt: skip
        gradcheck(run, [a])
        gradgradcheck(run, [a])


def test_equals_share_the_gradient_of_an_extreme() -> None:
    x = engine.tensor([[1.0, 3.0, 3.0]], requires_grad=True)
    x.amax(1).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 0.5, 0.5]]


def test_the_mean_of_nothing_is_not_a_number() -> None:
    assert np.isnan(engine.zeros(0).mean().item())
    assert engine.zeros(0).sum().item() == 0.0
    assert np.isnan(engine.ones(1).var().item())


def test_results_of_reductions_own_their_memory() -> None:
    x = engine.tensor([5.0])
    assert not np.shares_memory(x.sum().numpy(), x.numpy())
