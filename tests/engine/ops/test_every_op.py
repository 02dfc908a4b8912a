"""Every operation against its oracle, its gradients against differences, its outputs in place."""

import inspect
from typing import Any

import numpy as np
import pytest

import engine
from engine.dispatch import apply
from engine.ops.registry import OPS, outputs_of
from engine.testing import gradcheck, gradgradcheck, samples
from tests.engine.ops.oracles import ORACLES

SAMPLES = samples()
CASES = [
    pytest.param(name, *pair, id=f"{name}-{i}")
    for name, pairs in SAMPLES.items()
    for i, pair in enumerate(pairs)
]
#: Their gradient is another thing than the slope of their numbers: a padding row is left alone.
NOT_BY_DIFFERENCES = [("embedding", 1)]
#: Statistics are inputs that belong to x; second order is checked through the norm itself.
BOUND = tuple(f"{n}_norm_grad" for n in ("batch", "group", "layer", "rms"))
BOUND += ("attention_grad", "self_attention_grad")


def _own_operations() -> list[str]:
    """Those of engine.ops; derivatives of pointwise operations come from their parents."""
    found = []
    for name, op in OPS.items():
        if op.exprs is None:
            home = inspect.getmodule(op.ref)
        else:
            home = inspect.getmodule(op.exprs.__self__._function)
        if home is not None and home.__name__.startswith("engine.ops."):
            found.append(name)
    return [n for n in found if ".d" not in n]


def test_every_operation_has_samples_and_an_oracle() -> None:
    assert [n for n in _own_operations() if n not in SAMPLES] == []
    assert [n for n in _own_operations() if n not in ORACLES] == []


def test_samples_are_of_operations_that_exist() -> None:
    assert sorted(set(SAMPLES) - set(OPS)) == []
    assert len(_own_operations()) > 140


@pytest.mark.parametrize(("name", "inputs", "attrs"), CASES)
def test_numbers_are_those_of_the_oracle(name: str, inputs: Any, attrs: Any) -> None:
    got = outputs_of(apply(name, *inputs, **attrs))
    expected = outputs_of(ORACLES[name](*inputs, **attrs))
    single = attrs.get("dtype") == "float32"
    differenced = name.endswith("_grad") and name.partition("_")[0] != "conv"
    tolerance = 1e-6 if single else 1e-7 if differenced else 1e-12
    assert len(got) == len(expected)
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=tolerance, atol=tolerance)
        assert mine.shape == np.shape(theirs)


HALVED = [
    case
    for case in CASES
    if "dtype" not in case.values[2] and any(a.dtype == np.float64 for a in case.values[1])
]


@pytest.mark.parametrize(("name", "inputs", "attrs"), HALVED)
def test_float32_stays_close_to_float64(name: str, inputs: Any, attrs: Any) -> None:
    small = [a.astype(np.float32) if a.dtype == np.float64 else a for a in inputs]
    got, full = (outputs_of(apply(name, *which, **attrs)) for which in (small, inputs))
    for mine, wide in zip(got, full, strict=True):
        if wide.dtype == np.float64:
            assert mine.dtype == np.float32
        numbers = wide.numpy().astype(np.float64)
        scale = 1 + np.abs(numbers).max(initial=0)
        np.testing.assert_allclose(mine.numpy(), numbers, rtol=1e-5, atol=2e-6 * scale)


@pytest.mark.parametrize(("name", "inputs", "attrs"), CASES)
def test_what_infer_says_is_what_ref_gives(name: str, inputs: Any, attrs: Any) -> None:
    op = OPS[name]
    tensors = [engine.Tensor(a) for a in inputs]
    types = outputs_of(op.infer(*[t.type for t in tensors], **attrs))
    got = outputs_of(op.ref(*inputs, **attrs))
    assert [(tuple(a.shape), a.dtype) for a in got] == [(t.shape, t.dtype) for t in types]
    assert op.flops(*[t.type for t in tensors], **attrs) >= 0


@pytest.mark.parametrize(("name", "inputs", "attrs"), [c for c in CASES if OPS[c.values[0]].into])
def test_ref_fills_the_array_it_is_given(name: str, inputs: Any, attrs: Any) -> None:
    plain = outputs_of(OPS[name].ref(*inputs, **attrs))
    outs = tuple(np.full(a.shape, 77, a.dtype) for a in plain)
    OPS[name].ref(*inputs, **attrs, out=outs if len(outs) > 1 else outs[0])
    for filled, array in zip(outs, plain, strict=True):
        np.testing.assert_array_equal(filled, array)


POINTWISE = [c for c in CASES if OPS[c.values[0]].exprs is not None]


@pytest.mark.parametrize(("name", "inputs", "attrs"), POINTWISE)
def test_pointwise_may_write_over_an_input(name: str, inputs: Any, attrs: Any) -> None:
    plain = OPS[name].ref(*inputs, **attrs)
    for place, array in enumerate(inputs):
        if array.shape == plain.shape and array.dtype == plain.dtype:
            own = [a.copy() for a in inputs]
            OPS[name].ref(*own, **attrs, out=own[place])
            np.testing.assert_array_equal(own[place], plain)


def _graded() -> list[Any]:
    found = []
    for case in CASES:
        name, inputs, attrs = case.values
        op = OPS[name]
        types = [engine.Tensor(a).type for a in inputs]
        outputs = outputs_of(op.infer(*types, **attrs))
        if op.vjp and any(t.dtype.kind == "f" for t in outputs) and name not in BOUND:
            found.append(case)
    return [c for c in found if c.id not in [f"{n}-{i}" for n, i in NOT_BY_DIFFERENCES]]


def _wanted(name: str, inputs: Any) -> list[int]:
    places = [i for i, a in enumerate(inputs) if a.dtype == np.float64]
    if name == "cross_entropy":
        return places[:1]
    return places[:2] if name == "cross_entropy_grad" else places


@pytest.mark.parametrize(("name", "inputs", "attrs"), _graded())
def test_gradients_are_those_of_differences(name: str, inputs: Any, attrs: Any) -> None:
    gradcheck(lambda *ts: apply(name, *ts, **attrs), inputs, wanted=_wanted(name, inputs))


@pytest.mark.parametrize(("name", "inputs", "attrs"), _graded())
def test_second_gradients_are_those_of_differences(name: str, inputs: Any, attrs: Any) -> None:
    gradgradcheck(lambda *ts: apply(name, *ts, **attrs), inputs, wanted=_wanted(name, inputs))
