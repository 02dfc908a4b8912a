"""Pointwise operations that are sampled alike, and the range in which each is smooth."""

from __future__ import annotations

from typing import Any

UNARY: tuple[tuple[str, float, float], ...] = (
    ("neg", -2, 2), ("abs", -2, 2), ("sign", -2, 2), ("square", -2, 2), ("reciprocal", 0.5, 2),
    ("exp", -2, 2), ("expm1", -2, 2), ("log", 0.5, 3), ("log1p", -0.5, 3), ("log2", 0.5, 3),
    ("sqrt", 0.5, 3), ("rsqrt", 0.5, 3), ("erf", -2, 2), ("sin", -2, 2), ("cos", -2, 2),
    ("tan", -1, 1), ("asin", -0.8, 0.8), ("acos", -0.8, 0.8), ("atan", -2, 2), ("sinh", -2, 2),
    ("cosh", -2, 2), ("tanh", -2, 2), ("asinh", -2, 2), ("acosh", 1.3, 3), ("atanh", -0.8, 0.8),
    ("floor", -2, 2), ("ceil", -2, 2), ("round", -2, 2), ("trunc", -2, 2),
)  # fmt: skip
BINARY: tuple[tuple[str, float, float], ...] = (
    ("add", -2, 2), ("sub", -2, 2), ("mul", -2, 2), ("div", 0.5, 3), ("floor_div", 0.5, 3),
    ("remainder", 0.5, 3), ("pow", 0.5, 2), ("atan2", 0.3, 2), ("maximum", -2, 2),
    ("minimum", -2, 2), ("logaddexp", -2, 2), ("xlogy", 0.3, 2), ("squared_error", -2, 2),
    ("absolute_error", -2, 2), ("huber_error", -2, 2), ("quantile_error", -2, 2),
    ("log_cosh_error", -2, 2), ("binary_error", 0.2, 0.8), ("logit_error", -2, 2),
    ("divergence", 0.2, 0.8), ("log_divergence", -2, 2),
)  # fmt: skip
ACTIVATIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("relu", {}), ("relu6", {}), ("leaky_relu", {"slope": 0.1}), ("elu", {"alpha": 0.7}),
    ("selu", {}), ("celu", {"alpha": 1.3}), ("gelu", {}), ("gelu_tanh", {}), ("sigmoid", {}),
    ("silu", {}), ("mish", {}), ("hardswish", {}), ("hardsigmoid", {}), ("logsigmoid", {}),
    ("softplus", {"beta": 2.0}), ("softsign", {}), ("tanhshrink", {}),
    ("hardtanh", {"low": -1.0, "high": 1.5}), ("softshrink", {"threshold": 0.5}),
    ("hardshrink", {"threshold": 0.5}), ("threshold", {"threshold": 0.3, "value": -1.0}),
)  # fmt: skip
