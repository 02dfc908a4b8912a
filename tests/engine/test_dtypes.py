import numpy as np
import pytest
from hypothesis import given, strategies as st

import engine
from engine import dtypes
from engine.errors import DtypeError

KINDS = st.sampled_from(dtypes.DTYPES)


@given(KINDS, KINDS)
def test_promotion_is_symmetric(first: np.dtype, second: np.dtype) -> None:
    assert dtypes.promote(first, second) == dtypes.promote(second, first)


@given(KINDS, KINDS)
def test_promotion_goes_by_kind_before_width(first: np.dtype, second: np.dtype) -> None:
    both = dtypes.promote(first, second)
    if first.kind == "f" and second.kind != "f":
        assert both == first
    if first.kind in "iu" and second.kind == "b":
        assert both == first
    if first.kind == second.kind:
        assert both.kind == first.kind
        assert both.itemsize == max(first.itemsize, second.itemsize)


@given(KINDS, st.sampled_from([True, 3, 2.5]))
def test_a_number_never_widens_a_tensor_of_its_kind(kind: np.dtype, number: float) -> None:
    found = (engine.tensor(np.ones(2), kind) * number).dtype
    if (
        isinstance(number, bool)
        or kind.kind == "f"
        or (kind.kind in "iu" and isinstance(number, int))
    ):
        assert found == kind
    else:
        assert found == (np.float32 if isinstance(number, float) else np.int64)


@given(KINDS, KINDS)
def test_an_operation_gives_what_promotion_says(first: np.dtype, second: np.dtype) -> None:
    x, y = engine.tensor(np.ones(3), first), engine.tensor(np.ones(1), second)
    assert (x + y).dtype == dtypes.promote(first, second)
    assert (x < y).dtype == np.bool_


@given(st.sampled_from([d for d in dtypes.DTYPES if d.kind in "biu"]))
def test_integers_become_float32_where_floats_are_needed(kind: np.dtype) -> None:
    x = engine.tensor(np.ones(3), kind)
    assert x.exp().dtype == np.float32
    assert (x / x).dtype == np.float32
    assert x.sigmoid().dtype == np.float32


def test_sums_of_integers_are_wide() -> None:
    assert engine.tensor([200, 200], "uint8").sum().item() == 400
    assert engine.tensor([True, True]).sum().item() == 2


def test_float16_is_summed_in_float32() -> None:
    assert engine.full(4096, value=1.0, dtype="float16").sum().item() == 4096
    long = engine.full((70000, 1), value=0.1, dtype="float16").sum(0)
    assert abs(long.item() - 0.1 * 70000) < 8


def test_lists_of_floats_become_float32() -> None:
    assert engine.tensor([1.0]).dtype == np.float32
    assert engine.tensor([1]).dtype == np.int64
    assert engine.tensor(np.ones(2)).dtype == np.float64


def test_unknown_dtypes_are_refused_with_those_there_are() -> None:
    with pytest.raises(DtypeError, match="complex64 is not supported; the engine has float16"):
        engine.ones(2, dtype="complex64")
    with pytest.raises(DtypeError, match="no dtype is called 'flot32'"):
        engine.ones(2).to("flot32")


def test_subtraction_of_truth_values_is_refused() -> None:
    flags = engine.tensor([True, False])
    with pytest.raises(DtypeError, match="sub does not work on bool, bool"):
        flags - flags


def test_mean_of_integers_is_refused_with_advice() -> None:
    with pytest.raises(DtypeError, match="cast it"):
        engine.arange(4).mean()
