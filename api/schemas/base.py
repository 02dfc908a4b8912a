"""What every body shares: strict input, pages, problems."""

from typing import Annotated, Any, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Item = TypeVar("Item")

# A name is one line of visible text.
NAME_PATTERN = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NAME_PATTERN)]
Text = Annotated[str, StringConstraints(max_length=10_000)]


class Input(BaseModel):
    """A body from outside: no conversions, no fields we do not know."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Output(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Page(BaseModel, Generic[Item]):
    """One page of a list; `next_cursor` is given back as `cursor` to get the next."""

    data: list[Item]
    has_more: bool
    next_cursor: str | None


class ProblemItem(BaseModel):
    """One thing wrong: where (a JSON pointer into the input), what, and how to mend it."""

    pointer: str
    code: str
    detail: str
    expected: Any
    got: Any
    hint: str | None


class ProblemDocument(BaseModel):
    """RFC 9457: what went wrong."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[ProblemItem]
    request_id: str


Limit = Annotated[int, Query(ge=1, le=200, description="rows a page")]
Cursor = Annotated[
    str | None,
    Query(max_length=1000, description="`next_cursor` of the page before; opaque"),
]
LARGEST = 2**62
EventLimit = Annotated[int, Query(ge=1, le=1000, description="entries a page")]
NumberCursor = Annotated[
    str | None, Query(max_length=18, pattern=r"^[0-9]+$", description="`next_cursor` of a page")
]
FileName = Annotated[str, Path(max_length=255, description="name of the file")]


def identifier(kind: str) -> Any:
    return Path(max_length=200, description=f"id of the {kind}")


JobId = Annotated[str, identifier("job")]
DatasetId = Annotated[str, Path(max_length=255, description="id or name of the dataset")]
ModelId = Annotated[str, identifier("model")]
KeyId = Annotated[str, identifier("key")]

Document = Annotated[dict[str, Any], Field(description="a JSON object")]
