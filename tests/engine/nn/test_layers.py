"""Every layer class, walked."""

from typing import Any

import numpy as np
import pytest

import engine
from engine import nn
from engine.errors import ShapeError
from engine.ir.graph import TensorType
from engine.ir.trace import abstract
from engine.tensor import Tensor
from tests.engine.nn.cases import CASES, NO_LAYERS, Case, name_of

WALK = pytest.mark.parametrize("case", CASES, ids=name_of)


def first(result: Any) -> Any:
    """The output, of a layer that gives its states as well."""
    return result[0] if isinstance(result, tuple) else result


def run(model: nn.Module, inputs: list[np.ndarray]) -> Any:
    with engine.random.stream(seed=3, step=5):
        return first(model(*map(Tensor, inputs)))


def is_loss(name: str) -> bool:
    return name.endswith("Loss")


def test_the_cases_walk_every_layer() -> None:
    layers = {
        name
        for name in nn.__all__
        if isinstance(getattr(nn, name), type) and not is_loss(name) and name not in NO_LAYERS
    }
    assert {case.kind for case in CASES} == layers


@WALK
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_shapes_without_numbers_are_the_real_ones(case: Case, training: bool) -> None:
    inputs = case.draw()
    types = [TensorType(x.shape, x.dtype) for x in inputs]
    with engine.random.stream(seed=0):
        expected = first(abstract(case.make().train(training), *types))
    found = run(case.make().init().train(training), inputs)
    assert found.type == expected
    assert found.dtype == np.float32


@WALK
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_gradients_are_those_of_differences(case: Case, training: bool) -> None:
    model = case.make().to("float64").init(1).train(training)
    inputs = case.draw(np.float64)
    outputs = run(model, inputs)
    direction = np.random.default_rng(2).normal(size=outputs.shape)
    tensors = [Tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    kept = {name: b.data.copy() for name, b in model.named_buffers()}

    def value() -> Tensor:
        for name, b in model.named_buffers():
            b.data[...] = kept[name]
        with engine.random.stream(seed=3, step=5):
            return (first(model(*tensors)) * direction).sum()

    value().backward()
    leaves = [t for t in tensors if t.requires_grad] + list(model.parameters())
    for leaf in leaves:
        assert leaf.grad is not None
        assert leaf.grad.shape == leaf.shape
        assert leaf.grad.dtype == np.float64
        check_directions(leaf, value, still=getattr(model, "padding_idx", None))


def check_directions(leaf: Tensor, value: Any, still: int | None, step: float = 1e-6) -> None:
    """The derivative along random directions against central differences.

    still: a row that has no gradient on purpose.
    """
    rng = np.random.default_rng(4)
    for _ in range(3):
        way = rng.normal(size=leaf.shape)
        if still is not None:
            way[still] = 0.0
        before = leaf.data.copy()
        leaf.data[...] = before + step * way
        above = value().item()
        leaf.data[...] = before - step * way
        below = value().item()
        leaf.data[...] = before
        slope = float((leaf.grad.numpy() * way).sum())
        assert slope == pytest.approx((above - below) / (2 * step), rel=2e-5, abs=2e-7)


@WALK
def test_a_state_brings_the_same_numbers_back(case: Case) -> None:
    model, inputs = case.make().init(1), case.draw()
    run(model, inputs)  # running statistics move away from their start
    state = model.state_dict()
    again = case.make().load_state_dict(state)
    for mode in (True, False):
        first, second = run(model.train(mode), inputs), run(again.train(mode), inputs)
        assert first.numpy().tobytes() == second.numpy().tobytes()


@WALK
def test_a_layer_tells_what_it_is(case: Case) -> None:
    told = repr(case.make())
    assert told.startswith(f"{case.kind}(")
    assert " at 0x" not in told
    assert told == repr(case.make().init())


@pytest.mark.parametrize("case", [c for c in CASES if c.bad is not None], ids=name_of)
def test_an_input_that_does_not_fit_is_refused_by_name(case: Case) -> None:
    model = nn.ModuleDict({"here": case.make().init()})

    class Root(nn.Module):
        def __init__(self) -> None:
            self.body = model

        def forward(self, x: Tensor) -> Tensor:
            with engine.random.stream(seed=0):
                return self.body["here"](x)

    assert case.bad is not None
    given = np.zeros(case.bad, np.float32)
    with pytest.raises(ShapeError) as refused:
        Root()(Tensor(given))
    told = str(refused.value)
    assert "body.here" in told
    assert case.kind in told
    assert "expected" in told
    assert "got float32" in told


KNOWN_THERE = [c for c in CASES if c.torch is not None and "Dropout" not in c.kind]


@pytest.mark.parametrize("case", KNOWN_THERE, ids=name_of)
def test_it_is_the_layer_of_pytorch(case: Case) -> None:
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, case.torch or case.kind)(*case.arguments, **_torch(case))
    ours, inputs = case.make().init(2), case.draw()
    theirs.load_state_dict({n: torch.tensor(a) for n, a in ours.state_dict().items()})
    for mode in (True, False):
        expected = first(theirs.train(mode)(*map(torch.tensor, inputs))).detach().numpy()
        found = run(ours.train(mode), inputs).numpy()
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), rtol=1e-5, atol=1e-6)


def _torch(case: Case) -> dict[str, Any]:
    """PyTorch wants align_corners to be None where it has no meaning."""
    options = dict(case.options)
    if case.kind == "Interpolate" and options.get("mode", "nearest") != "nearest":
        options.setdefault("align_corners", False)
    if case.kind.startswith("InstanceNorm"):
        options.setdefault("affine", False)
    if case.kind.startswith("Transformer"):
        options["batch_first"] = True
    return options


BAD_ARGUMENTS: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("Linear", (0, 3), {}, "in_features must be a whole number above 0"),
    ("Linear", (3, 2.5), {}, "out_features must be"),
    ("Conv2d", (3, 4, (3, 3, 3)), {}, "kernel_size must be a whole number from 1, or 2 of them"),
    ("Conv2d", (3, 4, 3), {"groups": 2}, "3 channels cannot be shared out to 2 groups"),
    ("Conv2d", (3, 4, 3), {"padding": "full"}, "'same' or 'valid'"),
    ("Conv2d", (3, 4, 3), {"padding": "same", "stride": 2}, "needs stride 1"),
    ("Conv2d", (3, 4, 3), {"padding": -1}, "padding must be a whole number from 0"),
    ("Conv2d", (3, 4, 3), {"padding_mode": "wrap"}, "padding_mode must be one of"),
    ("ConvTranspose2d", (3, 4, 3), {"output_padding": 1}, "must be below the stride"),
    ("MaxPool2d", (2,), {"padding": 2}, "at most half of the kernel"),
    ("AdaptiveAvgPool2d", ((1, 2, 3),), {}, "output_size must be"),
    ("BatchNorm2d", (0,), {}, "num_features must be"),
    ("GroupNorm", (3, 4), {}, "4 channels do not part into 3 groups"),
    ("LayerNorm", ((),), {}, "at least one axis"),
    ("Dropout", (1.5,), {}, "p must be a probability"),
    ("Embedding", (3, 4), {"padding_idx": 3}, "padding_idx must be a row of the 3"),
    ("LSTM", (3, 0), {}, "hidden_size must be"),
    ("RNN", (3, 4), {"nonlinearity": "sine"}, "nonlinearity must be tanh or relu"),
    ("MultiheadAttention", (6, 4), {}, "6 does not part into 4 heads"),
    ("MultiheadAttention", (8, 4), {"num_kv_heads": 3}, "3 must divide the 4 heads"),
    ("MultiheadAttention", (6, 2), {"rotary": True}, "heads of an even length, not 3"),
    ("MultiheadAttention", (6, 2, 1.0), {}, "dropout must be"),
    ("TransformerEncoderLayer", (6, 2, 8, 0.1, "tahn"), {}, "must be one of relu, gelu"),
    ("GELU", (), {"approximate": "fast"}, "approximate must be"),
    ("Hardtanh", (1.0, 0.0), {}, "must be below max_val"),
    ("Interpolate", (), {}, "either size or scale_factor"),
    ("Interpolate", (3,), {"mode": "cubic"}, "mode must be one of"),
    ("Interpolate", (3,), {"align_corners": True}, "no meaning"),
]


@pytest.mark.parametrize(("kind", "arguments", "options", "message"), BAD_ARGUMENTS)
def test_arguments_that_make_no_sense_are_refused(
    kind: str, arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(nn, kind)(*arguments, **options)
