"""What a training step will cost: flops, bytes, and about how many seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.compile import analyse
from engine.ir.graph import TensorType
from spec.feasibility import Facts
from spec.jobs import JobSpec
from spec.network import Network
from spec.objective import Objective


@dataclass(frozen=True, slots=True)
class Rate:
    """What a device of a class does, about: a constant, not a measurement of the worker's own."""

    flops_per_second: float
    seconds_per_step: float
    basis: str


#: float32. A plan is about a class of device; the job itself reports what it really does.
RATES = {
    "cpu": Rate(20e9, 100e-6, "two cores of a server, float32, layers of small and medium size"),
    "cuda": Rate(10e12, 100e-6, "one data-centre GPU of 2022, float32 without TF32"),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one training step."""

    flops: int
    bytes: dict[str, int]


def of_step(spec: JobSpec, network: Network, facts: Facts, rows: int) -> Cost:
    """The cost of a step on that many rows; nothing is allocated."""
    assert spec.train.loss is not None
    found = analyse(
        network,
        Objective(spec.train.loss),
        spec.train.optimizer.make(network.named_parameters()),
        batch_types(facts, rows),
        clip_norm=spec.train.clip_norm,
        accumulate=spec.train.accumulate,
        ema=spec.train.ema,
    )
    rest = found.activation_bytes - found.gradient_bytes - found.batch_bytes
    return Cost(
        found.flops,
        {
            "weights": found.weight_bytes,
            "gradients": found.gradient_bytes,
            "optimizer": found.optimizer_bytes,
            "activations": max(0, rest) + found.constant_bytes,
            "batch": found.batch_bytes,
            "peak": found.peak_bytes,
        },
    )


def batch_types(facts: Facts, rows: int) -> dict[str, TensorType]:
    """The types of a batch: the inputs by name, and the target."""
    number = TensorType((rows, 1), np.dtype(np.float32))
    codes = TensorType((rows,), np.dtype(np.int64))
    inputs = {name: one.signal.batch(rows) for name, one in facts.known().items()}
    return {**inputs, "target": number if facts.target == "number" else codes}


def seconds(flops: int, device: str) -> tuple[float, dict[str, Any]]:
    """(seconds a step, how they were estimated); auto counts as cpu."""
    name = "cuda" if device == "cuda" else "cpu"
    rate = RATES[name]
    found = flops / rate.flops_per_second + rate.seconds_per_step
    return found, {
        "device": name,
        "flops_per_second": rate.flops_per_second,
        "seconds_per_step": rate.seconds_per_step,
        "basis": rate.basis,
    }
