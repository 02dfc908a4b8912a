"""A finished model answers for raw rows: encode, forward, decode, as they were in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import Invalid, Problem
from engine.io import safetensors
from spec.build import network_of
from spec.data.fitted import Fitted
from spec.forward import Forward
from spec.manifest import Manifest
from spec.models import ModelSpec


class Predictor:
    """`Predictor.load(manifest, weights).predict([{"age": 41, "job": "nurse"}])`."""

    def __init__(self, manifest: Manifest, fitted: Fitted, forward: Forward) -> None:
        self.manifest = manifest
        self._fitted = fitted
        self._forward = forward

    @classmethod
    def load(cls, manifest: Mapping[str, Any], weights: bytes | str | PathLike[str]) -> Predictor:
        """The model of a manifest, with weights from a file or from bytes in memory.

        Raises Invalid where the manifest is damaged or the weights are not those it names.
        """
        found = Manifest.from_json(dict(manifest))
        content = weights if isinstance(weights, bytes) else Path(weights).read_bytes()
        if sha256(content).hexdigest() != found.weights.sha256:
            raise Invalid(
                [
                    Problem(
                        "/weights/sha256",
                        "damaged",
                        "the weights are not those that the manifest names",
                        expected=found.weights.sha256,
                        got=sha256(content).hexdigest(),
                    )
                ]
            )
        network = network_of(ModelSpec.model_validate(found.model), found.shapes)
        network.load_state_dict(safetensors.load(content))
        return cls(found, Fitted.from_json(found.data), Forward(network.eval()))

    @property
    def columns(self) -> list[str]:
        """The columns that a row needs."""
        return self._fitted.columns

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """An answer for each row: {label, probabilities} or {value}.

        Raises Invalid with pointers such as /rows/3/age, and every problem of the rows.
        """
        return self._fitted.decode(self.outputs(rows)) if rows else []

    def outputs(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """What the network itself gives: logits of the classes, or the scaled number."""
        return self._forward(self._fitted.encode(rows))
