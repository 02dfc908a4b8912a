"""Numbers that JSON cannot hold: NaN is `{"value": null, "nonfinite": "nan"}`."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator

from store.base import finite

Nonfinite = Literal["nan", "inf", "-inf"]


class NonfiniteNumber(BaseModel):
    """Stands where a number should be and is not finite."""

    value: None = None
    nonfinite: Nonfinite


def _wrap(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return finite(value)
    return value


Number = Annotated[float | NonfiniteNumber, BeforeValidator(_wrap)]
