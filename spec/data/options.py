"""How the files of a dataset are to be read: what a user may say of each format."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import Invalid, Problem
from spec.data.formats import Format
from spec.data.sources import pointer_part

MISSING = ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL"]
Text = Annotated[str, Field(max_length=200)]


class Options(BaseModel):
    """Options that every format takes."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    file_column: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Add a column of this name that holds each row's file name."
    )


class CsvOptions(Options):
    """How a CSV file is written."""

    header: bool = Field(default=True, description="The first row holds the names of the columns.")
    names: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field()] | None = (
        Field(
            default=None,
            description="Names of the columns; they replace those of the header. Without header "
            "and names: column_1, column_2, …",
        )
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        default=None, description="Guessed from the first rows where left out."
    )
    quotes: bool = Field(
        default=True,
        description='Values may stand in "double quotes"; if false, a quote is a character.',
    )
    encoding: Literal["utf-8", "latin-1", "windows-1252"] = "utf-8"
    missing: Annotated[list[Text], Field(max_length=100)] = Field(
        default=MISSING,
        description="What stands for a missing value; spaces around it do not count.",
    )
    comment: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        default=None, description="Lines that begin with this character are left out."
    )
    decimal: Literal[".", ","] = "."
    trailing: dict[str, Annotated[str, Field(min_length=1, max_length=20)]] = Field(
        default_factory=dict,
        description="Characters to take off the end of a column's values, by column.",
        examples=[{"income": "."}],
    )

    @model_validator(mode="after")
    def sensible(self) -> Self:
        if self.delimiter is not None and self.delimiter in '"\r\n\0':
            raise ValueError("the delimiter may not be a quote or an end of line")
        if self.delimiter is not None and self.delimiter == self.comment:
            raise ValueError("delimiter and comment must differ")
        return self


def parse_options(options: Mapping[str, Any] | Options | None, format: Format) -> Options:
    """Options of a format; raises Invalid with pointers under /options."""
    kind = CsvOptions if format == "csv" else Options
    if isinstance(options, Options):
        options = options.model_dump(exclude_unset=True)
    try:
        return kind.model_validate(dict(options or {}))
    except ValidationError as error:
        raise Invalid([_problem(one, format) for one in error.errors()]) from None


def _problem(error: Any, format: Format) -> Problem:
    known = ", ".join((CsvOptions if format == "csv" else Options).model_fields)
    unknown = error["type"] == "extra_forbidden"
    return Problem(
        "/options" + "".join(f"/{pointer_part(str(step))}" for step in error["loc"]),
        "unknown_option" if unknown else "invalid_option",
        f"{format} files have no such option" if unknown else error["msg"],
        expected=known if unknown else None,
        got=error["loc"][-1] if unknown and error["loc"] else repr(error.get("input"))[:100],
    )
