"""Every layer of the table, on an input that fits: shapes, parameters and numbers agree."""

from typing import Any

import numpy as np
import pytest

from engine.compile import Inference
from spec.assembly import Assembly, of_layers
from spec.inputs import Entry
from spec.layers import KINDS, Layer, Signal
from spec.models import ModelSpec

IMAGE = (4, 6, 6)
VOLUME = (2, 4, 4, 4)
SIGNALS = (3, 10)
WORDS = (5, 8)

#: layer, input, output, parameters
LAYERS: list[tuple[Any, tuple[int, ...], tuple[int, ...], int]] = [
    ({"linear": 5}, (8,), (5,), 45),
    ({"linear": {"out_features": 5, "bias": False}}, (3, 8), (3, 5), 40),
    ({"dropout": 0.3}, (8,), (8,), 0),
    ({"conv1d": 5}, SIGNALS, (5, 8), 5 * 9 + 5),
    ({"conv2d": 5}, IMAGE, (5, 4, 4), 5 * 36 + 5),
    ({"conv2d": {"out_channels": 5, "padding": "same"}}, IMAGE, (5, 6, 6), 185),
    ({"conv2d": {"out_channels": 5, "padding": "valid", "bias": False}}, IMAGE, (5, 4, 4), 180),
    (
        {"conv2d": {"out_channels": 8, "kernel_size": [1, 3], "stride": 2, "padding": [0, 1]}},
        IMAGE,
        (8, 3, 3),
        8 * 12 + 8,
    ),
    ({"conv2d": {"out_channels": 4, "groups": 4, "dilation": 2}}, IMAGE, (4, 2, 2), 40),
    ({"conv3d": 3}, VOLUME, (3, 2, 2, 2), 3 * 54 + 3),
    ({"conv_transpose2d": 3}, IMAGE, (3, 12, 12), 4 * 3 * 4 + 3),
    ({"max_pool1d": 2}, SIGNALS, (3, 5), 0),
    ({"max_pool2d": 2}, IMAGE, (4, 3, 3), 0),
    ({"max_pool2d": {"kernel_size": 3, "stride": 2, "padding": 1}}, IMAGE, (4, 3, 3), 0),
    ({"max_pool3d": 2}, VOLUME, (2, 2, 2, 2), 0),
    ({"avg_pool1d": 2}, SIGNALS, (3, 5), 0),
    ({"avg_pool2d": [2, 3]}, IMAGE, (4, 3, 2), 0),
    ({"avg_pool3d": 2}, VOLUME, (2, 2, 2, 2), 0),
    ({"adaptive_avg_pool2d": [2, 1]}, IMAGE, (4, 2, 1), 0),
    ("global_avg_pool", IMAGE, (4,), 0),
    ("global_avg_pool", SIGNALS, (3,), 0),
    ("batch_norm", (8,), (8,), 16),
    ("batch_norm", SIGNALS, SIGNALS, 6),
    ("batch_norm", IMAGE, IMAGE, 8),
    ("batch_norm", VOLUME, VOLUME, 4),
    ("layer_norm", (8,), (8,), 16),
    ("rms_norm", (3, 8), (3, 8), 8),
    ({"group_norm": 2}, IMAGE, IMAGE, 8),
    ({"attention": 2}, WORDS, WORDS, 24 * 8 + 24 + 72),
    (
        {"attention": {"heads": 4, "kv_heads": 2, "rotary": True, "bias": False}},
        WORDS,
        WORDS,
        16 * 8 + 64,
    ),
    ({"transformer": 2}, WORDS, WORDS, 288 + 32 * 9 + 32 * 8 + 8 + 32),
    (
        {"transformer": {"heads": 2, "hidden": 5, "norm": "post", "causal": True}},
        WORDS,
        WORDS,
        288 + 5 * 9 + 5 * 8 + 8 + 32,
    ),
    ("positions", WORDS, WORDS, 40),
    ({"positions": "waves"}, WORDS, WORDS, 0),
    *[({"sequence_pool": how}, WORDS, (8,), 0) for how in ("mean", "max", "first", "last")],
    ({"rnn": 3}, WORDS, (3,), 3 * (8 + 3 + 2)),
    ({"gru": {"hidden_size": 3, "bias": False}}, WORDS, (3,), 9 * (8 + 3)),
    ({"lstm": 3}, WORDS, (3,), 12 * (8 + 3 + 2)),
    ({"lstm": {"hidden_size": 3, "bidirectional": True}}, WORDS, (6,), 24 * (8 + 3 + 2)),
    (
        {"lstm": {"hidden_size": 3, "num_layers": 2, "returns": "sequence", "dropout": 0.1}},
        WORDS,
        (5, 3),
        12 * (8 + 3 + 2) + 12 * (3 + 3 + 2),
    ),
    (
        {"gru": {"hidden_size": 3, "bidirectional": True, "returns": "sequence"}},
        WORDS,
        (5, 6),
        18 * (8 + 3 + 2),
    ),
    ("flatten", IMAGE, (144,), 0),
    ({"reshape": [2, 72]}, IMAGE, (2, 72), 0),
    ({"softmax": 0}, (8,), (8,), 0),
    ("softmax", (3, 8), (3, 8), 0),
    ({"leaky_relu": 0.2}, (8,), (8,), 0),
    ({"elu": 0.5}, (8,), (8,), 0),
    ({"squeeze_excite": 2}, IMAGE, IMAGE, 4 * 2 + 2 + 2 * 4 + 4),
    ({"sequential": ["relu", {"linear": 3}]}, (8,), (3,), 27),
    ({"residual": [{"linear": 8}, "relu"]}, (8,), (8,), 72),
    ({"residual": [{"linear": 5}, "relu"]}, (8,), (5,), 45 + 40),
    ({"residual": {"layers": ["relu"], "shortcut": "projection"}}, (8,), (8,), 64),
    (
        {"residual": [{"conv2d": {"out_channels": 8, "stride": 2, "padding": 1}}]},
        IMAGE,
        (8, 3, 3),
        8 * 36 + 8 + 32,
    ),
    ({"residual": [{"conv1d": {"out_channels": 3, "padding": 1}}]}, SIGNALS, SIGNALS, 30),
    *[
        (kind, (8,), (8,), 0)
        for kind in ("relu", "relu6", "gelu", "silu", "sigmoid", "tanh", "selu", "softplus")
    ],
    *[(kind, IMAGE, IMAGE, 0) for kind in ("mish", "hardswish", "hardsigmoid")],
]


def assembled(*items: Any, entry: Entry) -> Assembly:
    model = ModelSpec.model_validate({"layers": list(items)})
    assert model.layers is not None
    return of_layers(model.layers, {"x": entry}, "/model/layers")


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("item", "before", "after", "parameters"), LAYERS)
def test_a_layer_gives_what_its_line_foretells(
    item: Any, before: tuple[int, ...], after: tuple[int, ...], parameters: int
) -> None:
    found = assembled(item, entry=Entry(Signal(before)))
    assert found.network is not None
    assert found.output == Signal(after)
    assert sum(line.parameters for line in found.lines) == parameters
    assert found.network.num_parameters() == parameters
    network = found.network.init(0)
    output = Inference(network)({"x": numbers(3, *before)})
    assert output.shape == (3, *after)
    assert np.isfinite(output).all()


@pytest.mark.parametrize(
    ("item", "before", "after", "parameters"),
    [
        ({"embedding": 5}, (), (5,), 35),
        ({"embedding": 5}, (2,), (2, 5), 35),
        ({"embedding_bag": 5}, (2,), (5,), 35),
        ({"embedding_bag": {"embedding_dim": 5, "mode": "max"}}, (4,), (5,), 35),
        ("one_hot", (), (7,), 0),
        ("one_hot", (2,), (2, 7), 0),
    ],
)
def test_codes_of_categories(
    item: Any, before: tuple[int, ...], after: tuple[int, ...], parameters: int
) -> None:
    found = assembled(item, entry=Entry(Signal(before, np.dtype("int64"), 7)))
    assert found.output == Signal(after)
    assert found.network is not None
    assert found.network.num_parameters() == parameters
    codes = np.arange(3 * int(np.prod(before))).reshape(3, *before) % 7
    output = Inference(found.network.init(0))({"x": codes})
    assert output.shape == (3, *after)
    if item == "one_hot":
        assert np.array_equal(output, np.eye(7, dtype=np.float32)[codes])


def test_every_kind_is_tried() -> None:
    tried = {next(iter(item)) if isinstance(item, dict) else item for item, *_ in LAYERS}
    merging = {kind for kind, one in KINDS.items() if one.merges}
    assert set(KINDS) - tried - merging == {"embedding", "embedding_bag", "one_hot"}


def test_every_argument_has_a_description() -> None:
    for kind, arguments in KINDS.items():
        assert arguments.__doc__, kind
        for name, field in arguments.model_fields.items():
            described = field.description or getattr(field.annotation, "__doc__", None)
            assert described, (kind, name)


def test_a_residual_adds_its_input() -> None:
    found = assembled({"residual": ["relu"]}, entry=Entry(Signal((4,))))
    assert found.network is not None
    x = numbers(2, 4)
    np.testing.assert_array_equal(Inference(found.network)({"x": x}), np.maximum(x, 0) + x)


def test_names_of_weights_follow_the_document() -> None:
    found = assembled(
        {"linear": 4}, {"residual": [{"linear": 4}, "relu"]}, entry=Entry(Signal((4,)))
    )
    assert found.network is not None
    assert [name for name, _ in found.network.named_parameters()] == [
        "layers.0.weight",
        "layers.0.bias",
        "layers.1.block.0.weight",
        "layers.1.block.0.bias",
    ]


def test_a_layer_is_written_in_full_in_the_document() -> None:
    model = ModelSpec.model_validate(
        {"layers": ["relu", {"max_pool2d": 2}, {"residual": ["tanh"]}]}
    )
    assert isinstance((model.layers or [])[0], Layer)
    assert model.model_dump(exclude_none=True)["layers"] == [
        "relu",
        {"max_pool2d": {"kernel_size": 2, "padding": 0}},
        {"residual": {"layers": ["tanh"], "shortcut": "auto"}},
    ]
