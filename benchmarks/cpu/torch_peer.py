"""PyTorch, eagerly and through torch.compile, each in the settings that may be its best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.cpu.batches import batches
from benchmarks.cpu.program import Program
from benchmarks.cpu.rows import BETAS, EPS, Row
from benchmarks.cpu.torch_models import filled


def program(row: Row, variant: str, threads: int, compiled: bool) -> Program:
    torch.set_num_threads(threads)
    words = variant.split()
    if compiled:
        configure(row, words)
    return training(row, words, compiled) if row.trains else inference(row, words, compiled)


def configure(row: Row, words: list[str]) -> None:
    from torch._inductor import config

    config.cpp_wrapper = "cpp_wrapper" in words
    config.max_autotune = "max_autotune" in words
    config.freezing = not row.trains


def training(row: Row, words: list[str], compiled: bool) -> Program:
    model, given = arranged(row, words)
    optimizer = make_optimizer(row, model, fused="whole_step" not in words)
    loss = mean_squared if row.model == "factors" else classify
    update: Callable[[], Any] = optimizer.step
    if compiled:
        loss = torch.compile(loss)
    if "whole_step" in words:
        update = torch.compile(lambda: optimizer.step())
    count = len(given)

    def call(n: int) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        found = loss(model, given[n % count])
        found.backward()
        update()
        return found.detach()

    return Program(call, lambda found: found.numpy())


def inference(row: Row, words: list[str], compiled: bool) -> Program:
    model, batches_ = arranged(row, words)
    given = [one["x"] for one in batches_]
    model.eval()
    run = torch.compile(model) if compiled else model
    count = len(given)

    def call(n: int) -> Tensor:
        with torch.inference_mode():
            return run(given[n % count])

    return Program(call, lambda found: found.numpy())


def arranged(row: Row, words: list[str]) -> tuple[nn.Module, list[dict[str, Tensor]]]:
    """Model and batches in the layout that is asked for."""
    model = filled(row.model)
    given = [{k: torch.from_numpy(a) for k, a in one.items()} for one in batches(row)]
    if "channels_last" in words:
        model = model.to(memory_format=torch.channels_last)
        for one in given:
            one["x"] = one["x"].to(memory_format=torch.channels_last)
    return model, given


def make_optimizer(row: Row, model: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
    options, own = row.options, list(model.parameters())
    lr, decay = options["lr"], options["weight_decay"]
    if row.optimizer == "sgd":
        momentum = options["momentum"]
        return torch.optim.SGD(own, lr=lr, momentum=momentum, weight_decay=decay, fused=fused)
    kind = torch.optim.AdamW if row.optimizer == "adamw" else torch.optim.Adam
    return kind(own, lr=lr, betas=BETAS, eps=EPS, weight_decay=decay, fused=fused)


def classify(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    scores = model(*(batch[name] for name in sorted(batch) if name != "y"))
    return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), batch["y"].reshape(-1))


def mean_squared(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return F.mse_loss(model(batch["u"], batch["i"]), batch["y"])
