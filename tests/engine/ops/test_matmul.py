from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import engine
from engine.errors import ShapeError
from engine.testing import gradcheck


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


EQUATIONS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)]),
    ("...ij,...jk->...ik", [(6, 5, 2, 3), (5, 3, 4)]),
    ("...i,...i->...", [(4, 1, 3), (2, 3)]),
    ("ii->i", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("iji->j", [(3, 2, 3)]),
    ("i,j->ij", [(3,), (4,)]),
    ("ijk->kj", [(2, 3, 4)]),
    ("ij->", [(2, 3)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("ij,ij->", [(3, 4), (3, 4)]),
    ("ij,ij->ij", [(3, 4), (3, 4)]),
    ("iij,jk->ik", [(3, 3, 4), (4, 2)]),
    ("a,b,c->cab", [(2,), (3,), (4,)]),
    ("ij,k->", [(2, 3), (4,)]),
    ("abc,cd,def->aef", [(2, 3, 4), (4, 5), (5, 2, 3)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_einsum_is_that_of_numpy_and_differentiates(equation: str, shapes: Any) -> None:
    arrays = [array(*shape, seed=i) for i, shape in enumerate(shapes)]
    got = engine.einsum(equation, *map(engine.tensor, arrays))
    expected = np.einsum(equation, *arrays)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)
    gradcheck(lambda *ts: engine.einsum(equation, *ts), arrays)


@st.composite
def equations(draw: st.DrawFn) -> tuple[str, list[tuple[int, ...]]]:
    sizes = {c: draw(st.integers(1, 3)) for c in "abcde"}
    letters = st.lists(st.sampled_from("abcde"), min_size=1, max_size=4, unique=True)
    terms = ["".join(draw(letters)) for _ in range(draw(st.integers(1, 3)))]
    known = sorted(set("".join(terms)))
    result = draw(st.permutations(known))[: draw(st.integers(0, len(known)))]
    shapes = [tuple(sizes[c] for c in term) for term in terms]
    return ",".join(terms) + "->" + "".join(result), shapes


@settings(max_examples=150, deadline=None)
@given(equations())
def test_any_einsum_is_that_of_numpy(case: tuple[str, list[tuple[int, ...]]]) -> None:
    equation, shapes = case
    arrays = [array(*shape, seed=i) for i, shape in enumerate(shapes)]
    got = engine.einsum(equation, *map(engine.tensor, arrays))
    np.testing.assert_allclose(got.numpy(), np.einsum(equation, *arrays), atol=1e-12)


@pytest.mark.parametrize(
    ("equation", "shapes", "text"),
    [
        ("ij,jk->ik", [(2, 3), (4, 5)], "'j' of .* is both 3 and 4 long"),
        ("ij->ik", [(2, 3)], "is not made of its terms"),
        ("ij", [(2, 3, 4)], "names 2 axes of"),
        ("ij,jk", [(2, 3)], "has 2 terms for 1 tensors"),
        ("i1->i", [(2, 3)], "letters a-z"),
    ],
)
def test_wrong_equations_are_explained(equation: str, shapes: Any, text: str) -> None:
    with pytest.raises(ShapeError, match=text):
        engine.einsum(equation, *(engine.ones(s) for s in shapes))


@pytest.mark.parametrize("axes", [0, 1, 2, ([0, 2], [1, 0])])
def test_tensordot_is_that_of_numpy(axes: Any) -> None:
    a, b = (
        (array(3, 4, 2), array(2, 3, 5)) if isinstance(axes, tuple) else (array(2, 3), array(3, 2))
    )
    b = array(2, 3, 5) if axes == 2 and isinstance(axes, int) else b
    got = engine.tensordot(engine.tensor(a), engine.tensor(b), axes)
    np.testing.assert_allclose(got.numpy(), np.tensordot(a, b, axes), atol=1e-12)


def test_products_by_name() -> None:
    a, b, c = array(2, 3), array(3, 4), array(2, 4)
    v, w = array(3), array(3, seed=1)
    x, y, z, p, q = map(engine.tensor, (a, b, c, v, w))
    np.testing.assert_allclose(
        engine.addmm(z, x, y, beta=0.5, alpha=2).numpy(), 0.5 * c + 2 * a @ b
    )
    np.testing.assert_allclose(engine.mv(x, p).numpy(), a @ v)
    np.testing.assert_allclose(engine.dot(p, q).item(), v @ w)
    np.testing.assert_allclose(engine.outer(p, q).numpy(), np.outer(v, w))
    stack = engine.stack([x, x]), engine.stack([y, y])
    np.testing.assert_allclose(engine.bmm(*stack).numpy(), np.stack([a @ b] * 2))
    got = engine.baddbmm(engine.stack([z, z]), *stack)
    np.testing.assert_allclose(got.numpy(), np.stack([c + a @ b] * 2))


def test_the_gradient_of_a_broadcast_product_is_summed() -> None:
    inputs = array(2, 1, 3, 4), array(5, 4, 2)
    gradcheck(engine.matmul, inputs)
    gradcheck(engine.matmul, [array(5, 2, 3), array(3, 4)])
    gradcheck(engine.matmul, [array(3), array(5, 3, 4)])


def test_what_does_not_fit_is_named() -> None:
    x = engine.ones(2, 64)
    with pytest.raises(
        ShapeError,
        match="linear: input has 64 features in its last axis, the weight wants 128",
    ):
        engine.linear(x, engine.ones(10, 128))
    with pytest.raises(ShapeError, match=r"the bias .* must have the weight's 10 outputs"):
        engine.linear(x, engine.ones(10, 64), engine.ones(5))
    with pytest.raises(ShapeError, match=r"matmul: float32\[2, 64\] @ float32\[3, 2\]"):
        x @ engine.ones(3, 2)
    with pytest.raises(ShapeError, match=r"numbers multiply with \*"):
        x @ engine.tensor(1.0)
    with pytest.raises(ShapeError, match="leading axes"):
        engine.ones(2, 1, 3) @ engine.ones(3, 3, 1)


def test_flops_are_two_a_product() -> None:
    from engine.ops.registry import OPS

    a, b = engine.ones(5, 2, 3).type, engine.ones(3, 4).type
    assert OPS["matmul"].flops(a, b) == 2 * 5 * 2 * 3 * 4
    assert OPS["linear"].flops(engine.ones(7, 3).type, engine.ones(4, 3).type) == 2 * 7 * 3 * 4


def test_empty_products() -> None:
    assert (engine.ones(0, 3) @ engine.ones(3, 2)).shape == (0, 2)
    assert engine.linear(engine.ones(0, 3), engine.ones(2, 3)).shape == (0, 2)
    assert (engine.ones(2, 0) @ engine.ones(0, 3)).tolist() == [[0.0] * 3] * 2
