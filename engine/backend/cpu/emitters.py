"""All families of emitters: importing this enters them into the table."""

from __future__ import annotations

from importlib import import_module

FAMILIES = (
    "movement",
    "reduction",
    "products",
    "softmax",
    "random",
    "convolution",
    "convolution_weight",
    "pooling",
    "normalization",
    "indexing",
    "recurrent",
    "attention",
)

for _name in FAMILIES:
    import_module(f"engine.backend.cpu.{_name}")
