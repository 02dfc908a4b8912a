"""What a step will cost, before anything is allocated."""

import tracemalloc

import numpy as np
import pytest

from engine import nn
from engine.compile import TrainStep, analyse
from engine.ir.graph import TensorType
from engine.optim import SGD, Adam
from tests.engine.compile.models import CASES, classify


def f4(*shape: int) -> TensorType:
    return TensorType(shape, np.dtype("float32"))


def classes(size: int) -> TensorType:
    return TensorType((size,), np.dtype("int64"))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Sequential(nn.Linear(128, 10)))


def test_numbers_of_a_small_network_by_hand() -> None:
    model = mlp()
    found = analyse(
        model, classify, Adam(model.named_parameters()), {"x": f4(32, 64), "y": classes(32)}
    )
    weights = 64 * 128 + 128 + 128 * 10 + 10
    assert found.parameters == found.trainable == weights
    assert found.weight_bytes == found.gradient_bytes == 4 * weights
    assert found.optimizer_bytes == 8 * weights
    assert found.batch_bytes == 32 * 64 * 4 + 32 * 8
    products = 2 * 32 * (64 * 128 + 128 * 10)
    assert products <= found.forward_flops < 1.1 * products
    backward = products + 2 * 32 * 128 * 10  # nothing asks for the gradient of the input
    assert backward <= found.backward_flops < 1.1 * backward
    assert found.flops == found.forward_flops + found.backward_flops + found.update_flops
    assert found.peak_bytes >= found.weight_bytes + found.optimizer_bytes + found.gradient_bytes


def test_layers_are_told_by_path() -> None:
    model = mlp()
    found = analyse(
        model, classify, SGD(model.named_parameters()), {"x": f4(32, 64), "y": classes(32)}
    )
    layers = {layer.path: layer for layer in found.layers}
    assert list(layers) == ["", "0", "1", "2", "2.0"]
    assert (layers["0"].kind, layers["0"].parameters) == ("Linear", 64 * 128 + 128)
    assert layers["0"].output == f4(32, 128)
    assert layers["2"].output == layers["2.0"].output == f4(32, 10)
    assert layers["2"].flops == layers["2.0"].flops > 2 * 32 * 128 * 10
    assert layers["2"].kind == "Sequential"
    assert layers[""].parameters == found.parameters
    assert layers[""].flops == found.forward_flops + found.backward_flops
    assert layers[""].flops > layers["0"].flops + layers["1"].flops + layers["2"].flops


def test_running_statistics_are_not_the_output_of_a_layer() -> None:
    case = CASES["convnet"]
    model = case.build()
    found = analyse(model, case.loss, SGD(model.named_parameters()), case.batch(8, 0))
    outputs = [str(layer.output) for layer in found.layers]
    assert outputs[:5] == ["None", *["float32[8, 4, 8, 8]"] * 3, "float32[8, 4, 4, 4]"]


def test_frozen_parameters_have_no_gradients_and_no_state() -> None:
    model = mlp().freeze("0.*")
    found = analyse(
        model, classify, Adam(model.named_parameters()), {"x": f4(32, 64), "y": classes(32)}
    )
    assert found.trainable == 128 * 10 + 10
    assert found.optimizer_bytes == 8 * found.trainable
    assert found.parameters > found.trainable


def test_averages_and_parts_count() -> None:
    def cost(**options: object) -> object:
        model = mlp()
        batch = {"x": f4(1024, 64), "y": classes(1024)}
        return analyse(model, classify, Adam(model.named_parameters()), batch, **options)  # type: ignore[arg-type]

    plain, averaged, cut = cost(), cost(ema=0.9), cost(accumulate=8)
    assert averaged.optimizer_bytes == plain.optimizer_bytes * 3 // 2  # type: ignore[attr-defined]
    assert cut.activation_bytes < 0.6 * plain.activation_bytes  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", CASES)
def test_the_analysis_is_the_plan_that_runs(name: str) -> None:
    case = CASES[name]
    batch = case.batch(8, 0)
    model = case.build()
    found = analyse(model, case.loss, Adam(model.named_parameters()), batch)
    assert not any(p.is_initialised for p in model.parameters())
    step = TrainStep(model.init(0), case.loss, Adam(model.named_parameters()), mode="interpreter")
    plan = step.plan(batch)
    assert found.activation_bytes == plan.arena_bytes
    assert found.flops == plan.flops
    assert found.plan.to_json() == plan.to_json()


def test_a_large_model_is_analysed_without_its_memory() -> None:
    model = nn.Sequential(nn.Linear(20000, 20000), nn.ReLU(), nn.Linear(20000, 1000))
    tracemalloc.start()
    found = analyse(
        model, classify, Adam(model.named_parameters()), {"x": f4(4096, 20000), "y": classes(4096)}
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.peak_bytes > 5 << 30
    assert peak < 5 << 20
