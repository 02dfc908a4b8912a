"""JAX: the whole step under one `jit`, with weights and optimizer state donated."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from benchmarks.cpu.batches import batches
from benchmarks.cpu.jax_models import MODELS, Arrays, Run, arranged
from benchmarks.cpu.program import Program
from benchmarks.cpu.rows import BETAS, EPS, Row


def program(row: Row, variant: str, threads: int) -> Program:
    last = variant != "channels_first"
    given = [laid_out(one, last) for one in batches(row)]
    return training(row, last, given) if row.trains else inference(row, last, given)


def laid_out(batch: dict[str, np.ndarray], last: bool) -> Arrays:
    """A batch on the device, channels last where that is asked for."""
    moved = {
        name: np.moveaxis(array, 1, -1) if last and name == "x" and channelled(array) else array
        for name, array in batch.items()
    }
    return {name: jnp.array(np.ascontiguousarray(array)) for name, array in moved.items()}


def channelled(array: np.ndarray) -> bool:
    """Images and sounds; sequences of features are [batch, length, features] everywhere."""
    return array.ndim == 4 or (array.ndim == 3 and array.shape[1] == 1)


def training(row: Row, last: bool, given: list[Arrays]) -> Program:
    step = jax.jit(partial(train, row, last), donate_argnums=(0,))
    params, held = arranged(row.model, last)
    slots = 1 if row.optimizer == "sgd" else 2
    moments = [jax.tree.map(jnp.zeros_like, params) for _ in range(slots)]
    state = [(params, held, moments, jnp.zeros((), jnp.float32))]
    count = len(given)

    def call(n: int) -> Array:
        state[0], loss = step(state[0], given[n % count])
        return loss

    return Program(call, np.asarray, jax.block_until_ready)


def train(row: Row, last: bool, state: Any, batch: Arrays) -> tuple[Any, Array]:
    params, held, moments, done = state

    def loss_of(p: Arrays) -> tuple[Array, Arrays]:
        run = Run(p, held, last, training=True)
        inputs = (batch[name] for name in arguments(row, batch))
        return loss(row, MODELS[row.model](run, *inputs), batch["y"]), run.fresh

    (found, fresh), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
    params, moments = update(row, params, gradients, moments, done + 1)
    return (params, fresh, moments, done + 1), found


def arguments(row: Row, batch: Arrays) -> tuple[str, ...]:
    return ("u", "i") if row.model == "factors" else tuple(sorted(batch.keys() - {"y"}))


def loss(row: Row, found: Array, y: Array) -> Array:
    if row.model == "factors":
        return jnp.mean(jnp.square(found - y))
    logs = jax.nn.log_softmax(found, -1)
    return -jnp.mean(jnp.take_along_axis(logs, y[..., None], -1))


def update(
    row: Row, params: Arrays, gradients: Arrays, moments: list[Arrays], step: Array
) -> tuple[Arrays, list[Arrays]]:
    options = row.options
    lr, decay = options["lr"], options["weight_decay"]
    if row.optimizer == "sgd":
        first = {
            k: options["momentum"] * m + gradients[k] + decay * params[k]
            for k, m in moments[0].items()
        }
        return {k: p - lr * first[k] for k, p in params.items()}, [first]
    one, two = BETAS
    first = {k: one * m + (1 - one) * gradients[k] for k, m in moments[0].items()}
    second = {k: two * v + (1 - two) * jnp.square(gradients[k]) for k, v in moments[1].items()}
    rate, scale = lr / (1 - one**step), 1 / jnp.sqrt(1 - two**step)
    kept = 1 - lr * decay
    after = {
        k: kept * p - rate * first[k] / (jnp.sqrt(second[k]) * scale + EPS)
        for k, p in params.items()
    }
    return after, [first, second]


def inference(row: Row, last: bool, given: list[Arrays]) -> Program:
    params, held = arranged(row.model, last)

    @jax.jit
    def run(p: Arrays, h: Arrays, x: Array) -> Array:
        return MODELS[row.model](Run(p, h, last, training=False), x)

    count = len(given)

    def call(n: int) -> Array:
        return run(params, held, given[n % count]["x"]).block_until_ready()

    return Program(call, np.asarray)
