"""Optimizers: rules that a training step traces, and schedules of the learning rate."""

from engine.optim import schedules
from engine.optim.adam import Adam, AdamW
from engine.optim.adaptive import Adagrad, RMSprop
from engine.optim.clip import clip_by_norm, clip_by_value, global_norm
from engine.optim.ema import EMA
from engine.optim.optimizer import Group, Optimizer, no_decay
from engine.optim.sgd import SGD
from engine.optim.watching import EarlyStopping, ReduceLROnPlateau

__all__ = [
    "EMA",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "EarlyStopping",
    "Group",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "clip_by_norm",
    "clip_by_value",
    "global_norm",
    "no_decay",
    "schedules",
]
