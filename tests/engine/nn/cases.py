"""A case or more of every layer: how it is built and what goes in."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from engine import nn

#: What is no layer of its own.
NO_LAYERS = {"Module", "ModuleList", "ModuleDict", "Buffer", "Parameter"}


class Case(NamedTuple):
    """`inputs`: shapes of float inputs, or a function that makes them; `bad`: a shape refused."""

    kind: str
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = {}
    inputs: Any = ((2, 3),)
    bad: tuple[int, ...] | None = None
    torch: str | None = ""  # the name there, None where PyTorch has no such layer

    def make(self) -> nn.Module:
        arguments = [a() if isinstance(a, Later) else a for a in self.arguments]
        module: nn.Module = getattr(nn, self.kind)(*arguments, **self.options)
        return module

    def draw(self, dtype: Any = np.float32) -> list[np.ndarray]:
        rng = np.random.default_rng(1)
        if callable(self.inputs):
            return [self.inputs(rng)]
        return [rng.normal(size=shape).astype(dtype) for shape in self.inputs]


class Later:
    """A module that is made anew for each test."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def __call__(self) -> Any:
        return self.make()

    def __repr__(self) -> str:
        return repr(self.make())


def integers(high: int, *shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.integers(0, high, shape)


IMAGE = ((2, 4, 7, 6),)
LINE = ((2, 4, 9),)
BLOCK = ((2, 4, 5, 4, 3),)
TOKENS = ((2, 5, 6),)
STEPS = ((5, 2, 3),)
PLAIN = [
    "ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Sigmoid", "Hardsigmoid", "LogSigmoid",
    "Tanh", "Tanhshrink", "Softsign", "LeakyReLU", "ELU", "CELU", "Hardtanh", "Softplus",
    "Softshrink", "Hardshrink", "GELU", "PReLU", "Softmax", "LogSoftmax", "Softmin", "Identity",
]  # fmt: skip

CASES = [
    *(Case(name, (-1,) if name.endswith(("max", "min")) else ()) for name in PLAIN),
    Case("GELU", (), {"approximate": "tanh"}),
    Case("LeakyReLU", (0.2,)),
    Case("ELU", (0.7,)),
    Case("CELU", (0.7,)),
    Case("Hardtanh", (-0.5, 0.3)),
    Case("Softplus", (2.0,)),
    Case("Softshrink", (0.3,)),
    Case("Hardshrink", (0.3,)),
    Case("Threshold", (0.1, -2.0)),
    Case("PReLU", (4,), {}, IMAGE, (2, 3, 7, 6)),
    Case("Softmax", (1,), {}, IMAGE),
    Case("GLU", (1,), {}, IMAGE, (2, 3)),
    Case("GEGLU", (-1,), {}, ((2, 6),), (2, 3), torch=None),
    Case("SwiGLU", (-1,), {}, ((2, 6),), (2, 3), torch=None),
    Case("Linear", (3, 5), {}, ((2, 3),), (2, 4)),
    Case("Linear", (3, 5), {"bias": False}, ((2, 6, 3),), (3, 2)),
    Case("Conv1d", (4, 6, 3), {}, LINE, (2, 3, 9)),
    Case("Conv1d", (4, 6, 4), {"padding": "same", "dilation": 2}, LINE, (2, 4)),
    Case("Conv1d", (4, 4, 3), {"padding": 2, "padding_mode": "circular"}, LINE),
    Case("Conv2d", (4, 6, 3), {"stride": 2, "padding": 1}, IMAGE, (4, 7, 6)),
    Case("Conv2d", (4, 6, (3, 2)), {"groups": 2, "bias": False}, IMAGE, (2, 4, 1, 1)),
    Case("Conv2d", (4, 4, 3), {"groups": 4, "padding": "same"}, IMAGE),
    Case("Conv2d", (4, 2, 3), {"padding": 1, "padding_mode": "reflect"}, IMAGE),
    Case("Conv2d", (4, 2, 3), {"padding": 1, "padding_mode": "replicate"}, IMAGE),
    Case("Conv2d", (4, 2, 3), {"padding": "valid", "dilation": (2, 1)}, IMAGE),
    Case("Conv3d", (4, 3, 2), {"padding": 1, "stride": (1, 2, 1)}, BLOCK, (2, 4, 5, 4)),
    Case("ConvTranspose1d", (4, 6, 3), {"stride": 2}, LINE, (2, 3, 9)),
    Case(
        "ConvTranspose2d",
        (4, 6, 3),
        {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2},
        IMAGE,
        (2, 4, 9),
    ),
    Case("ConvTranspose2d", (4, 6, (2, 3)), {"bias": False, "dilation": 2}, IMAGE),
    Case("ConvTranspose3d", (4, 2, 2), {"stride": 2}, BLOCK, (2, 3, 5, 4, 3)),
    Case("MaxPool1d", (2,), {}, LINE, (2, 4)),
    Case("MaxPool2d", (3,), {"stride": 2, "padding": 1}, IMAGE, (2, 4, 7)),
    Case("MaxPool2d", (2,), {"ceil_mode": True, "dilation": 2, "stride": 2}, IMAGE, (2, 4, 1, 1)),
    Case("MaxPool3d", (2,), {}, BLOCK, (2, 4, 5, 4)),
    Case("AvgPool1d", (2,), {}, LINE, (2, 4)),
    Case("AvgPool2d", (3,), {"stride": 2, "padding": 1}, IMAGE, (2, 4, 1, 1)[:3]),
    Case("AvgPool2d", (3,), {"padding": 1, "count_include_pad": False}, IMAGE),
    Case("AvgPool2d", (2,), {"ceil_mode": True}, IMAGE),
    Case("AvgPool3d", (2,), {}, BLOCK, (2, 4, 5, 4)),
    Case("AdaptiveAvgPool1d", (3,), {}, LINE, (2, 9)),
    Case("AdaptiveAvgPool2d", ((3, None),), {}, IMAGE, (2, 4, 9)),
    Case("AdaptiveAvgPool2d", (1,), {}, IMAGE),
    Case("AdaptiveAvgPool3d", (2,), {}, BLOCK, (2, 4, 9)),
    Case("AdaptiveMaxPool1d", (3,), {}, LINE, (2, 9)),
    Case("AdaptiveMaxPool2d", ((3, None),), {}, IMAGE, (2, 4, 9)),
    Case("AdaptiveMaxPool3d", (2,), {}, BLOCK, (2, 4, 9)),
    Case("GlobalAvgPool", (), {}, IMAGE, (2, 3), torch=None),
    Case("GlobalMaxPool", (), {}, IMAGE, (2, 3), torch=None),
    Case("BatchNorm1d", (4,), {}, ((5, 4),), (5, 3)),
    Case("BatchNorm1d", (4,), {"affine": False}, LINE, (1, 4, 1)),
    Case("BatchNorm2d", (4,), {"momentum": None, "eps": 1e-3}, IMAGE, (2, 4, 9)),
    Case("BatchNorm2d", (4,), {"track_running_stats": False}, IMAGE),
    Case("BatchNorm3d", (4,), {"momentum": 0.3}, BLOCK, (2, 4)),
    Case("LayerNorm", (3,), {}, ((2, 5, 3),), (2, 4)),
    Case("LayerNorm", ((5, 3),), {"eps": 1e-3, "bias": False}, ((2, 5, 3),), (3,)),
    Case("LayerNorm", (3,), {"elementwise_affine": False}, ((2, 3),)),
    Case("RMSNorm", (3,), {"eps": 1e-6}, ((2, 5, 3),), (2, 4)),
    Case("RMSNorm", ((5, 3),), {"eps": 1e-3, "elementwise_affine": False}, ((2, 5, 3),)),
    Case("GroupNorm", (2, 4), {}, IMAGE, (2, 3, 7, 6)),
    Case("GroupNorm", (4, 4), {"affine": False, "eps": 1e-3}, LINE),
    Case("InstanceNorm1d", (4,), {}, LINE, (2, 4)),
    Case("InstanceNorm2d", (4,), {"affine": True}, IMAGE, (2, 4, 1, 1)),
    Case("InstanceNorm3d", (4,), {"eps": 1e-3}, BLOCK, (2, 4)),
    Case("Dropout", (0.3,), {}, ((4, 50),)),
    Case("Dropout1d", (0.3,), {}, LINE, (2, 4)),
    Case("Dropout2d", (0.3,), {}, IMAGE, (2, 4)),
    Case("Dropout3d", (0.3,), {}, BLOCK, (2, 4)),
    Case("Embedding", (7, 3), {}, integers(7, 2, 5)),
    Case("Embedding", (7, 3), {"padding_idx": -1}, integers(7, 9)),
    Case("EmbeddingBag", (7, 3), {}, integers(7, 2, 5)),
    Case("EmbeddingBag", (7, 3), {"mode": "sum", "padding_idx": 0}, integers(7, 9, 4)),
    Case("EmbeddingBag", (7, 3), {"mode": "max"}, integers(7, 9, 4)),
    Case("RNN", (3, 4), {}, STEPS, (5, 2, 4)),
    Case("RNN", (3, 2), {"nonlinearity": "relu", "bias": False}, STEPS, (5, 3)),
    Case("GRU", (3, 4), {"num_layers": 2, "bidirectional": True}, STEPS, (5, 2, 4)),
    Case("GRU", (3, 4), {"batch_first": True, "bias": False}, STEPS, (3,)),
    Case("LSTM", (3, 4), {}, STEPS, (5, 2, 4)),
    Case("LSTM", (3, 4), {"num_layers": 2, "bidirectional": True, "batch_first": True}, STEPS),
    Case("MultiheadAttention", (6, 2), {"causal": True}, TOKENS, (2, 5, 4), torch=None),
    Case(
        "MultiheadAttention",
        (8, 4, 0.2, False),
        {"num_kv_heads": 2, "rotary": True},
        ((2, 5, 8),),
        torch=None,
    ),
    Case("MultiheadAttention", (6, 2), {}, ((2, 5, 6), (2, 3, 6)), torch=None),
    Case("MultiheadAttention", (6, 3), {}, ((2, 5, 6), (2, 3, 6), (2, 3, 6)), torch=None),
    Case("PositionalEncoding", (6,), {}, TOKENS, (2, 5, 4), torch=None),
    Case("PositionalEncoding", (5,), {}, ((3, 5),), torch=None),
    Case("PositionalEmbedding", (7, 6), {}, TOKENS, (2, 8, 6), torch=None),
    Case("TransformerEncoderLayer", (6, 2, 10, 0.0), {}, TOKENS, (2, 5, 4)),
    Case(
        "TransformerEncoderLayer",
        (6, 3, 10, 0.0, "gelu"),
        {"norm_first": True, "bias": False},
        TOKENS,
        (6,),
    ),
    Case(
        "TransformerEncoderLayer",
        (6, 2, 10, 0.1),
        {"norm_first": True, "causal": True},
        TOKENS,
        torch=None,
    ),
    Case(
        "TransformerEncoder",
        (Later(lambda: nn.TransformerEncoderLayer(6, 2, 8)), 2, Later(lambda: nn.LayerNorm(6))),
        {},
        TOKENS,
        torch=None,
    ),
    Case("Flatten", (), {}, IMAGE, ()),
    Case("Flatten", (2, 3), {}, IMAGE, (2, 4)),
    Case("Unflatten", (1, (2, 2)), {}, IMAGE, (2, 3)),
    Case("Interpolate", ((5, 9),), {}, IMAGE, (2, 4), torch="Upsample"),
    Case("Interpolate", (), {"scale_factor": 2, "mode": "nearest"}, BLOCK, torch="Upsample"),
    Case("Interpolate", ((2, 4),), {"mode": "area"}, IMAGE, torch=None),
    Case("Interpolate", (5,), {"mode": "linear"}, LINE, torch="Upsample"),
    Case("Interpolate", ((11, 4),), {"mode": "bilinear"}, IMAGE, torch="Upsample"),
    Case(
        "Interpolate",
        (),
        {"scale_factor": (1.5, 0.5), "mode": "bilinear", "align_corners": True},
        IMAGE,
        torch="Upsample",
    ),
    Case("Interpolate", ((3, 3, 6),), {"mode": "trilinear"}, BLOCK, torch="Upsample"),
    Case("PixelShuffle", (2,), {}, IMAGE, (2, 3, 4, 4)),
    Case("Sequential", (Later(lambda: nn.Linear(3, 4)), Later(nn.ReLU)), torch=None),
    Case("Residual", (Later(lambda: nn.Linear(3, 3)),), torch=None),
    Case(
        "Residual",
        (Later(lambda: nn.Linear(3, 4)), Later(lambda: nn.Linear(3, 4, bias=False))),
        {},
        ((2, 3),),
        torch=None,
    ),
    Case("SqueezeExcite", (4, 2), {}, IMAGE, (2, 3, 5, 5), torch=None),
    Case("Concat", (1,), {}, ((2, 3), (2, 4)), torch=None),
    Case("Add", (), {}, ((2, 3), (2, 3)), torch=None),
    Case("Multiply", (), {}, ((2, 3), (2, 3)), torch=None),
]


def name_of(case: Case) -> str:
    words = [repr(a).replace("\n", "") for a in case.arguments]
    words += [f"{k}={v}" for k, v in case.options.items()]
    return f"{case.kind}({', '.join(words)})"
