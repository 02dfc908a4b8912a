"""The job spec: all that a user says about a training, checked as far as it can be without data."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, ValidationError, model_validator

from core.errors import Invalid
from spec import documents
from spec.data.config import DataSpec
from spec.losses import default_loss
from spec.models import ModelSpec
from spec.parts import Part
from spec.problems import TooMany, bounded, first
from spec.resources import Resources
from spec.train import TrainSpec
from spec.validation import of_validation


class JobSpec(Part):
    """A training: which data, which model, how it learns and what it may use."""

    model_config = ConfigDict(
        title="Job",
        json_schema_extra={
            "examples": [
                {
                    "name": "digits",
                    "data": {
                        "dataset": "digits",
                        "inputs": {
                            "image": {
                                "type": "image",
                                "columns": "pixel_*",
                                "shape": [1, 8, 8],
                                "scale": 16,
                            }
                        },
                        "target": {"type": "category", "column": "label"},
                    },
                    "model": {"blueprint": {"name": "convnet", "channels": [16, 32]}},
                    "train": {"optimizer": {"name": "adamw", "lr": 0.002}, "epochs": 15},
                }
            ]
        },
    )

    name: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="What the job is called; need not be unique.",
        examples=["digits"],
    )
    data: DataSpec
    model: ModelSpec
    train: TrainSpec = Field(default_factory=lambda: TrainSpec.model_validate({}))
    resources: Resources = Field(default_factory=Resources)

    @model_validator(mode="after")
    def _fill_loss(self) -> JobSpec:
        if self.train.loss is not None:
            return self
        train = self.train.model_copy(update={"loss": default_loss(self.data.target.type)})
        return self.model_copy(update={"train": train})

    def document(self) -> dict[str, Any]:
        """The whole spec as JSON with every default filled in; `parse` gives the same spec back."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def parse(
    document: dict[str, Any] | str | bytes, *, format: documents.Format | None = None
) -> JobSpec:
    """The spec that a mapping, or a JSON or YAML text, describes.

    Raises Invalid with every problem found: where it is (JSON pointer), what was expected, what
    was got and how to mend it.
    """
    value: Any = document
    if isinstance(document, str | bytes):
        value = documents.load(document, format=format)
    problems = list(documents.faults(value))
    if any(one.code not in documents.LOCAL for one in problems):
        raise Invalid(first(problems))
    try:
        with bounded():
            spec = JobSpec.model_validate(value)
    except TooMany as error:
        raise Invalid([*problems, error.problem]) from None
    except ValidationError as error:
        places = {one.pointer for one in problems}
        found = of_validation(error, value, JobSpec)
        raise Invalid(first([*problems, *(p for p in found if p.pointer not in places)])) from None
    if problems:
        raise Invalid(first(problems))
    return spec


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the job spec."""
    from spec import schemas

    return schemas.schema()
