"""What stands beside a finished model's weights: all that is needed to predict raw rows."""

from __future__ import annotations

import platform
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import Invalid, Problem
from engine.io import safetensors
from spec.data.shapes import DataShapes
from spec.problems import pointer
from spec.training import Training

WEIGHTS = "model.safetensors"


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Weights(Record):
    file: str
    sha256: str
    bytes: int
    parameters: int


class Trained(Record):
    steps: int
    epochs: float
    seed: int
    stopped_early: bool


class Manifest(Record):
    """The content of manifest.json.

    spec: the whole job spec. model: its model, a blueprint expanded. data: what was fitted on the
    training rows. shapes: what the network takes and gives. Metrics that are no number are null.
    dataset: the version and the sha256 of its files. device: the class of device that trained it.
    """

    format: Literal["gradworks-model"] = "gradworks-model"
    version: Literal[1] = 1
    name: str
    spec: dict[str, Any]
    model: dict[str, Any]
    data: dict[str, Any]
    shapes: DataShapes
    metrics: dict[str, float | None]
    weights: Weights
    trained: Trained
    versions: dict[str, str]
    dataset: dict[str, Any] | None = None
    device: str | None = None

    def document(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Manifest:
        """Raises Invalid where the document is no manifest of this version."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise Invalid(
                [
                    Problem(pointer(one["loc"]), "damaged", f"not a model's manifest: {one['msg']}")
                    for one in error.errors()[:20]
                ]
            ) from None


def pack(
    training: Training,
    metrics: dict[str, float],
    *,
    dataset: dict[str, Any] | None = None,
    device: str | None = None,
) -> tuple[dict[str, Any], bytes]:
    """(manifest.json, model.safetensors) of a training that has finished."""
    weights = safetensors.save(training.network.state_dict(copy=False))
    spec = training.spec
    found = Manifest(
        name=spec.name,
        spec=spec.document(),
        model=training.model.model_dump(mode="json", by_alias=True, exclude_none=True),
        data=training.prepared.fitted.to_json(),
        shapes=training.prepared.shapes,
        metrics={name: value if isfinite(value) else None for name, value in metrics.items()},
        weights=Weights(
            file=WEIGHTS,
            sha256=sha256(weights).hexdigest(),
            bytes=len(weights),
            parameters=training.network.num_parameters(),
        ),
        trained=Trained(
            steps=training.step,
            epochs=training.step / training.steps_per_epoch,
            seed=spec.train.seed,
            stopped_early=training.stopped,
        ),
        versions=versions(),
        dataset=dataset,
        device=device,
    )
    return found.document(), weights


def versions() -> dict[str, str]:
    """What the model was made with."""
    try:
        own = version("gradworks")
    except PackageNotFoundError:
        own = "unreleased"
    return {"gradworks": own, "numpy": np.__version__, "python": platform.python_version()}
