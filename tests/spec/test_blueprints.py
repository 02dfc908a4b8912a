"""Blueprints expand into layers that anybody could have written."""

import pytest
from hypothesis import given, settings, strategies as st

from spec.assembly import assemble
from spec.blueprints import ConvNet, Mlp, Unfit
from spec.inputs import Entry
from spec.layers import Signal
from spec.models import ModelSpec


def test_mlp() -> None:
    mlp = Mlp(hidden=[8, 4], activation="tanh", norm="layer_norm", dropout=0.1)
    assert mlp.expand({"x": Signal((3,))}, 2) == [
        {"linear": 8},
        "layer_norm",
        "tanh",
        {"dropout": 0.1},
        {"linear": 4},
        "layer_norm",
        "tanh",
        {"dropout": 0.1},
        {"linear": 2},
    ]


def test_mlp_flattens_an_image() -> None:
    assert Mlp(hidden=[]).expand({"x": Signal((1, 8, 8))}, 2) == ["flatten", {"linear": 2}]


def test_convnet() -> None:
    found = ConvNet(channels=[16], hidden=[32]).expand({"x": Signal((1, 8, 8))}, 10)
    conv = {"out_channels": 16, "kernel_size": 3, "padding": "same", "bias": False}
    assert found == [
        {"conv2d": conv},
        "batch_norm",
        "relu",
        {"max_pool2d": 2},
        "flatten",
        {"linear": 32},
        "relu",
        {"linear": 10},
    ]


@pytest.mark.parametrize(
    "inputs", [{"x": Signal((3,))}, {"x": Signal((1, 8, 8)), "y": Signal((2,))}]
)
def test_convnet_wants_one_image(inputs: dict[str, Signal]) -> None:
    with pytest.raises(Unfit):
        ConvNet().expand(inputs, 10)


def test_a_number_stands_for_a_list_of_one() -> None:
    model = ModelSpec.model_validate({"blueprint": {"name": "convnet", "channels": 8, "hidden": 4}})
    assert isinstance(model.blueprint, ConvNet)
    assert (model.blueprint.channels, model.blueprint.hidden) == ([8], [4])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=5),
    st.sampled_from(["max", "avg", "none"]),
    st.tuples(st.integers(1, 3), st.integers(1, 17), st.integers(1, 17)),
)
def test_convnet_fits_images_of_any_size(
    channels: list[int], pool: str, shape: tuple[int, int, int]
) -> None:
    model = {"blueprint": {"name": "convnet", "channels": channels, "pool": pool}}
    found = assemble(ModelSpec.model_validate(model), {"x": Entry(Signal(shape))}, 7)
    assert found.problems == []
    assert found.output == Signal((7,))
