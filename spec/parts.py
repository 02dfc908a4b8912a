"""What the models of a job spec have in common: strictness, bounds, and things chosen by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from core.errors import Problem
from spec.validation import carried, of_validation

MAX_WIDTH = 2**24
MAX_LIST = 1000

Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]
Rate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class Part(BaseModel):
    """A mapping of the spec: no type is guessed, no field is unknown, nothing changes later.

    `conflicts` looks at fields together. It sees the mapping as it was written, so its problems
    stand beside those of single fields and not behind them.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @classmethod
    def conflicts(cls, written: dict[str, Any]) -> list[Problem]:
        return []

    @model_validator(mode="wrap")
    @classmethod
    def _every_problem(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        own = cls.conflicts(value) if isinstance(value, dict) else []
        try:
            found = handler(value)
        except ValidationError as error:
            carried([*of_validation(error, value, cls), *own])
        if own:
            carried(own)
        return found


def named(default: str | None = None) -> Callable[[Any], Any]:
    """Read `adamw` as `{name: adamw}`; a mapping without a name gets the default one."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if default is not None and isinstance(value, dict) and "name" not in value:
            return {"name": default, **value}
        return value

    return read


def together(written: dict[str, Any], *fields: str) -> list[str]:
    """Those of the fields that were given."""
    return [field for field in fields if written.get(field) is not None]


def given(*fields: str) -> dict[str, Any]:
    """The JSON Schema of mappings in which all of the fields are given, and not as null."""
    present: dict[str, Any] = {"not": {"type": "null"}}
    return {"required": list(fields), "properties": dict.fromkeys(fields, present)}


def conflict(field: str, detail: str, hint: str | None = None) -> Problem:
    return Problem(pointer=f"/{field}" if field else "", code="conflict", detail=detail, hint=hint)
