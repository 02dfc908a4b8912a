"""Uploads and datasets."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from api.schemas.base import Input, Output, Text

DatasetName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,99}$"),
    Field(description="letters, digits, dots, dashes, underscores; not beginning with ds_ or dsv_"),
]
UploadIds = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^upl_[0-9a-z]{1,28}$")]],
    Field(min_length=1, max_length=1000, description="ids of uploads, in the order of their rows"),
]


class UploadRead(Output):
    id: str
    filename: str
    bytes: int
    sha256: str
    expires_at: datetime


class VersionCreate(Input):
    """The files of a new version and how to read them; the format is found out where left out."""

    uploads: UploadIds
    format: Literal["csv", "parquet", "npz", "idx"] | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class DatasetCreate(VersionCreate):
    name: DatasetName
    description: Text = ""


class DatasetFileRead(Output):
    name: str
    bytes: int
    sha256: str


class ColumnRead(Output):
    """A column and what its values are like."""

    model_config = ConfigDict(extra="allow")

    name: str
    type: str


class VersionRead(Output):
    id: str
    number: int
    format: str
    options: dict[str, Any]
    files: list[DatasetFileRead]
    rows: int
    columns: list[ColumnRead]
    created_at: datetime


class DatasetRead(Output):
    id: str
    name: str
    description: str
    created_at: datetime
    version: VersionRead


class Preview(Output):
    """The first rows as they are read, before any transform."""

    columns: list[str]
    rows: list[dict[str, Any]]
