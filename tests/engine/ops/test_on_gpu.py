"""The same samples on a GPU, against NumPy."""

from typing import Any

import numpy as np
import pytest

import engine
from engine.dispatch import apply
from engine.ops.registry import OPS, outputs_of
from engine.testing import samples

pytestmark = pytest.mark.gpu

CASES = [
    pytest.param(name, *pair, id=f"{name}-{i}")
    for name, pairs in samples().items()
    for i, pair in enumerate(pairs)
    if name != "to_device"
]


@pytest.mark.parametrize(("name", "inputs", "attrs"), CASES)
def test_numbers_on_the_gpu_are_those_of_numpy(name: str, inputs: Any, attrs: Any) -> None:
    expected = outputs_of(apply(name, *inputs, **attrs))
    there = [engine.tensor(a, device="cuda") for a in inputs]
    for mine, plain in zip(outputs_of(apply(name, *there, **attrs)), expected, strict=True):
        assert mine.device == "cuda:0" or not inputs
        np.testing.assert_allclose(mine.numpy(), plain.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "inputs", "attrs"), [c for c in CASES if OPS[c.values[0]].vjp])
def test_gradients_on_the_gpu_are_those_of_numpy(name: str, inputs: Any, attrs: Any) -> None:
    def slopes(device: str) -> list[Any]:
        tensors = [engine.tensor(a, device=device) for a in inputs]
        wanted = [t.requires_grad_() for t in tensors if t.dtype.kind == "f"]
        wanted = wanted[:1] if name.startswith("cross_entropy") else wanted
        outputs = [y for y in outputs_of(apply(name, *tensors, **attrs)) if y.requires_grad]
        ones = [engine.ones_like(y) for y in outputs]
        return engine.grad(outputs, wanted, gradient=ones) if outputs else []

    for mine, plain in zip(slopes("cuda"), slopes("cpu"), strict=True):
        if plain is not None:
            np.testing.assert_allclose(mine.numpy(), plain.numpy(), rtol=1e-6, atol=1e-6)


def test_a_tensor_goes_to_the_gpu_and_its_gradient_comes_back() -> None:
    x = engine.tensor([1.0, 2.0], requires_grad=True)
    (x.to("cuda") * 3).sum().backward()
    assert x.grad is not None
    assert x.grad.device == "cpu"
    assert x.grad.tolist() == [3.0, 3.0]
