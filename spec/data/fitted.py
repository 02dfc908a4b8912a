"""The fitted state of a data spec: kept with the model, so that raw rows can be predicted."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from core.errors import Invalid, Problem
from spec.data.categories import CategoryEncoder, CategoryTargetEncoder
from spec.data.images import ImageEncoder
from spec.data.numbers import NumberEncoder, NumberTargetEncoder
from spec.data.profile import Record
from spec.data.rows import Raw

Encoder = Annotated[NumberEncoder | CategoryEncoder | ImageEncoder, Field(discriminator="type")]
TargetEncoder = Annotated[CategoryTargetEncoder | NumberTargetEncoder, Field(discriminator="type")]


class Fitted(Record):
    """One encoder for each input, and one for the target."""

    version: Literal[1] = 1
    inputs: dict[str, Encoder]
    target: TargetEncoder

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Fitted":
        """The state that `to_json` gave; raises Invalid where it is damaged."""
        try:
            return cls.model_validate(dict(document))
        except ValidationError as error:
            raise Invalid(
                [
                    Problem(
                        "/" + "/".join(map(str, one["loc"])),
                        "damaged",
                        f"the fitted state of the data cannot be read: {one['msg']}",
                    )
                    for one in error.errors()[:20]
                ]
            ) from None

    @property
    def columns(self) -> list[str]:
        """The columns that a raw row needs."""
        return list(dict.fromkeys(name for one in self.inputs.values() for name in one.columns))

    @property
    def classes(self) -> list[Any] | None:
        """The classes in the order of the model's outputs; None for a number."""
        return self.target.classes if isinstance(self.target, CategoryTargetEncoder) else None

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
        """Raw rows as the arrays that the network takes: the same bits as in training.

        Columns that no input takes are ignored. Raises Invalid with pointers /rows/3/age.
        """
        raw = Raw(rows)
        blocks = {name: one.parse(raw) for name, one in self.inputs.items()}
        raw.check()
        return {name: one.encode(blocks[name]) for name, one in self.inputs.items()}

    def decode(self, outputs: NDArray[Any], *, logits: bool = True) -> list[dict[str, Any]]:
        """The network's outputs as answers, one for each row.

        Category: {label, probabilities: {class: share}}; outputs are logits unless `logits` is
        false. Number: {value}, in the column's own units.
        """
        if isinstance(self.target, CategoryTargetEncoder):
            return self.target.decode(np.asarray(outputs), logits=logits)
        return self.target.decode(np.asarray(outputs))
