"""What a peer gives: its program for a row, ready to be checked and timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Program:
    """The work of a row, done by one peer.

    call: step number n, or inference of input n; read: the loss (or the outputs) as NumPy.
    wait: until what `call` began is done. backend: what runs it, in words.
    start: bring up what all programs of the process share, such as the compiler.
    """

    call: Callable[[int], Any]
    read: Callable[[Any], np.ndarray]
    wait: Callable[[Any], Any] = field(default=lambda result: result)
    backend: Callable[[], str] = field(default=lambda: "")
    start: Callable[[], Any] = field(default=lambda: None)
