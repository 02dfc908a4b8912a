"""The `data` part of a job spec: which dataset, what goes in, what comes out, and the split."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

TARGET = "target"
DEFAULT_FRACTIONS = (0.8, 0.1, 0.1)

Name = Annotated[str, Field(min_length=1, max_length=200)]
InputName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Value = str | int | bool
Fraction = Annotated[float, Field(gt=0, lt=1)]
Columns = Annotated[
    str | Annotated[list[Name], Field(min_length=1, max_length=100_000)],
    Field(
        description="Several columns: a glob, or a list of names and globs. A glob's columns come "
        "in natural order: pixel_2 before pixel_10.",
        examples=["pixel_*", ["height", "width"]],
    ),
]
Layout = Literal["HW", "HWC", "CHW"]
Normalize = Literal["standard", "minmax", "robust", "none"]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Source(Strict):
    """Where an input comes from: `column`, or `columns`, or the column named like the input."""

    column: Name | None = Field(
        default=None, description="One column; the input's own name where left out."
    )
    columns: Columns | None = None

    @model_validator(mode="after")
    def one_source(self) -> Self:
        if self.column is not None and self.columns is not None:
            raise ValueError("give either column or columns, not both")
        return self


class NumberInput(Source):
    """One number, or several columns stacked into a vector: float32 of shape (number of columns,).

    Statistics are fitted on the training rows and stored with the model.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"type": "number", "column": "age"},
                {"type": "number", "columns": ["height", "width"], "normalize": "minmax"},
            ]
        }
    )

    type: Literal["number"]
    normalize: Normalize = Field(
        default="standard",
        description="standard: (x - mean) / deviation; minmax: to 0..1; robust: (x - median) / "
        "interquartile range; none: as it is. Fitted on the training rows.",
    )
    missing: Literal["mean", "median", "zero", "error"] = Field(
        default="error",
        description="What stands in for a missing value: the mean or median of the training "
        "rows, or 0; or missing values are an error.",
    )


class CategoryInput(Source):
    """One of a set of values, as an index: 0 is unknown, the rest is learned from training rows.

    With `columns`, all of them share one vocabulary and give a vector of indices.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"type": "category", "column": "job", "embedding": 8},
                {"type": "category", "columns": "square_*", "one_hot": True},
            ]
        }
    )

    type: Literal["category"]
    missing: Literal["category", "unknown", "error"] = Field(
        default="category",
        description="A missing value is a category of its own (index 1), or the unknown index 0, "
        "or an error.",
    )
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="Keep only this many values, the most frequent ones of the training rows; "
        "the others are unknown.",
    )
    embedding: Annotated[int, Field(ge=1, le=65_536)] | None = Field(
        default=None, description="Width of the learned vector for each value."
    )
    one_hot: bool = Field(
        default=False, description="The network sees zeros and a one in place of the index."
    )

    @model_validator(mode="after")
    def one_representation(self) -> Self:
        if self.one_hot and self.embedding is not None:
            raise ValueError("give either one_hot or embedding, not both")
        return self


class ImageInput(Source):
    """An image, fed as float32 of shape (channels, height, width).

    From one image column (arrays of H x W, H x W x C or C x H x W), or from pixel columns.
    Each value is divided by `scale`, then `mean` is subtracted and the rest divided by `std`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"type": "image", "column": "image"},
                {"type": "image", "columns": "pixel_*", "shape": [1, 8, 8], "scale": 16},
            ]
        }
    )

    type: Literal["image"]
    shape: (
        Annotated[list[Annotated[int, Field(ge=1, le=65_536)]], Field(min_length=3, max_length=3)]
        | None
    ) = Field(
        default=None,
        description="[channels, height, width]; needed for pixel columns.",
        examples=[[1, 28, 28]],
    )
    layout: Layout | None = Field(
        default=None,
        description="Order of the stored values; guessed from the shape where that is clear. "
        "Pixel columns are CHW unless said otherwise.",
    )
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None,
        description="Divide by this; 255 for stored bytes and 1 for everything else where left "
        "out.",
    )
    normalize: Literal["none", "standard"] = Field(
        default="none",
        description="standard: mean and deviation of each channel, fitted on the training rows.",
    )
    mean: list[Annotated[float, Field(allow_inf_nan=False)]] | None = Field(
        default=None, description="One number for all channels or one a channel, after scaling."
    )
    std: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = Field(
        default=None, description="One number for all channels or one a channel, after scaling."
    )

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if self.columns is not None and self.shape is None:
            raise ValueError("pixel columns need a shape: [channels, height, width]")
        if self.normalize == "standard" and (self.mean is not None or self.std is not None):
            raise ValueError("normalize: standard fits mean and std; leave them out")
        for name, values in (("mean", self.mean), ("std", self.std)):
            allowed = {1} if self.shape is None else {1, self.shape[0]}
            if values is not None and len(values) == 0:
                raise ValueError(f"{name} needs one number, or one a channel")
            if values is not None and self.shape is not None and len(values) not in allowed:
                raise ValueError(f"{name} needs one number, or one for each of {self.shape[0]}")
        return self


Input = Annotated[NumberInput | CategoryInput | ImageInput, Field(discriminator="type")]


class CategoryTarget(Strict):
    """One of several classes; fed as the index of the class (int64)."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"type": "category", "column": "label"}]}
    )

    type: Literal["category"]
    column: Name
    classes: Annotated[list[Value], Field(min_length=2, max_length=100_000)] | None = Field(
        default=None,
        description="The classes in the order of the model's outputs; where left out, every value "
        "of the dataset's column, sorted.",
    )
    missing: Literal["error", "drop"] = Field(
        default="error", description="Rows without a target are an error, or are left out."
    )


class NumberTarget(Strict):
    """A number to predict; fed as float32 of shape (1,), given back in the column's own units."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"type": "number", "column": "price", "normalize": "standard"}]
        }
    )

    type: Literal["number"]
    column: Name
    normalize: Normalize = Field(
        default="none", description="Fitted on the training rows; predictions are scaled back."
    )
    missing: Literal["error", "drop"] = Field(
        default="error", description="Rows without a target are an error, or are left out."
    )


Target = Annotated[CategoryTarget | NumberTarget, Field(discriminator="type")]


class FractionSplit(Strict):
    """Rows dealt out at random, the same way every time for the same seed and number of rows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"train": 0.8, "validation": 0.1, "test": 0.1, "stratify": True}]
        }
    )

    train: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Share of the rows; what the others leave where left out."
    )
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    test: Annotated[float, Field(ge=0, lt=1)] = 0.0
    stratify: bool = Field(
        default=False, description="Keep the classes' shares equal in every part."
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        default=None, description="Where left out, the seed of the training."
    )

    @model_validator(mode="after")
    def whole(self) -> Self:
        total = (self.train or 0.0) + self.validation + self.test
        if self.train is not None and abs(total - 1) > 1e-6:
            raise ValueError(f"train, validation and test must add up to 1, not {total:g}")
        if self.train is None and total >= 1:
            raise ValueError(f"validation and test add up to {total:g} and leave nothing to train")
        return self


Values = Annotated[list[Value], Field(min_length=1, max_length=1000)]


def _kind_of_part(value: Any) -> str:
    if isinstance(value, float):
        return "fraction"
    return "values" if isinstance(value, list) else "value"


PartValues = Annotated[
    Annotated[Value, Tag("value")] | Annotated[Values, Tag("values")], Discriminator(_kind_of_part)
]
PartValuesOrFraction = Annotated[
    Annotated[Fraction, Tag("fraction")]
    | Annotated[Value, Tag("value")]
    | Annotated[Values, Tag("values")],
    Discriminator(_kind_of_part),
]


class ColumnSplit(Strict):
    """Rows dealt out by the values of a column.

    Without `train`, every row that no other part names is trained on. A fraction for `validation`
    or `test` is taken at random from the training rows.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"column": "split", "train": "train", "test": "t10k", "validation": 0.1},
                {"column": "fold", "validation": 8, "test": [9, 10]},
            ]
        }
    )

    column: Name
    train: PartValues | None = Field(default=None, description="A value or a list of values.")
    validation: PartValuesOrFraction | None = Field(
        default=None, description="A value, a list of values, or a fraction of the training rows."
    )
    test: PartValuesOrFraction | None = Field(
        default=None, description="A value, a list of values, or a fraction of the training rows."
    )
    rest: Literal["error", "ignore"] = Field(
        default="error", description="Rows whose value no part names are an error, or left out."
    )
    stratify: bool = Field(
        default=False, description="Keep the classes' shares equal in parts taken as fractions."
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        default=None, description="Where left out, the seed of the training."
    )

    @model_validator(mode="after")
    def disjoint(self) -> Self:
        fractions = [part for part in (self.validation, self.test) if isinstance(part, float)]
        if sum(fractions) >= 1:
            raise ValueError("the fractions add up to 1 or more and leave nothing to train on")
        named = [value for part in self.values().values() for value in part]
        twice = sorted({str(value) for value in named if named.count(value) > 1})
        if twice:
            raise ValueError(f"a value may belong to one part only: {', '.join(twice)}")
        if not named:
            raise ValueError("name the value of at least one part")
        return self

    def values(self) -> dict[str, list[Value]]:
        """Values of the column by part; parts that are fractions or left out are absent."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            part: list(value) if isinstance(value, list) else [value]
            for part, value in parts.items()
            if value is not None and not isinstance(value, float)
        }


def _kind_of_split(value: Any) -> str:
    by_column = "column" in value if isinstance(value, dict) else hasattr(value, "column")
    return "column" if by_column else "fraction"


Split = Annotated[
    Annotated[FractionSplit, Tag("fraction")] | Annotated[ColumnSplit, Tag("column")],
    Discriminator(_kind_of_split),
]


class DataSpec(Strict):
    """Which rows of which dataset are turned into what the model is fed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
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
                    "split": {"train": 0.8, "validation": 0.1, "test": 0.1, "stratify": True},
                }
            ]
        }
    )

    dataset: Name = Field(
        description="Name, name@version or id of a dataset.", examples=["digits", "digits@2"]
    )
    inputs: Annotated[dict[InputName, Input], Field(min_length=1, max_length=1000)] = Field(
        description="What the model is fed, by name."
    )
    target: Target
    split: Split = Field(
        default_factory=lambda: FractionSplit(
            train=DEFAULT_FRACTIONS[0], validation=DEFAULT_FRACTIONS[1], test=DEFAULT_FRACTIONS[2]
        ),
        description="Which rows are trained on, validated on and tested on: shares, or the values "
        "of a column.",
    )

    @model_validator(mode="after")
    def names(self) -> Self:
        if TARGET in self.inputs:
            raise ValueError(f"no input may be called {TARGET!r}; that name is the target's")
        return self
