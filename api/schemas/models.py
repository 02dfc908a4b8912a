"""Trained models and their predictions."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from api.numbers import Number
from api.schemas.base import Input, Output

MAX_ROWS = 1000


class ModelSummary(Output):
    """A model as it stands in a list."""

    id: str
    name: str
    job_id: str
    metrics: dict[str, Number | None]
    created_at: datetime


class ModelRead(ModelSummary):
    """A model with its manifest: how to read the weights, and how it came about."""

    manifest: dict[str, Any]


class PredictRequest(Input):
    """Raw rows, as they would stand in the dataset: a value for each input column."""

    rows: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_ROWS)]


class Prediction(Output):
    """A category with its probabilities, or a number."""

    model_config = ConfigDict(extra="allow")

    label: str | int | float | bool | None = None
    value: Number | None = None
    probabilities: dict[str, Number] | None = None


class Predictions(Output):
    predictions: list[Prediction]
