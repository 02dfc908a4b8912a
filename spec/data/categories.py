"""Categories as inputs and targets: vocabularies fitted on training rows, classes and answers."""

from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import Invalid, Problem
from spec.data.cells import category, is_missing
from spec.data.config import CategoryInput, CategoryTarget, Value
from spec.data.numbers import answer
from spec.data.profile import Record
from spec.data.rows import Raw
from spec.data.tables import Column, Factors, factorize, label

UNKNOWN = 0
MISSING = 1


class CategoryEncoder(Record):
    """One input of categories. Index 0 is unknown, 1 missing where that is a category.

    `vocabulary` holds the values of the training rows, sorted; `cardinality` also counts the
    values that only other rows hold, whose indices stay unused.
    """

    type: Literal["category"] = "category"
    columns: list[str]
    several: bool
    numeric: bool
    vocabulary: list[str]
    missing: Literal["category", "unknown", "error"]
    cardinality: int

    @classmethod
    def fit(
        cls,
        given: CategoryInput,
        names: list[str],
        columns: list[Column],
        train: NDArray[Any],
        cardinality: int,
    ) -> "tuple[CategoryEncoder, NDArray[np.int32]]":
        """The encoder and the block of indices: (rows,), or (rows, columns) for several."""
        factors = [factorize(one) for one in columns]
        numeric = all(one.numeric for one in factors)
        encoder = cls(
            columns=names,
            several=given.columns is not None,
            numeric=numeric,
            vocabulary=_vocabulary(factors, train, given.limit, numeric),
            missing=given.missing,
            cardinality=cardinality,
        )
        codes = [encoder._indices(one.labels)[one.codes] for one in factors]
        return encoder, np.stack(codes, axis=1) if encoder.several else codes[0]

    @cached_property
    def index(self) -> dict[str, int]:
        """Index of each value of the vocabulary."""
        return {word: at for at, word in enumerate(self.vocabulary, self._first)}

    @property
    def _first(self) -> int:
        return MISSING + 1 if self.missing == "category" else MISSING

    @property
    def _absent(self) -> int:
        return MISSING if self.missing == "category" else UNKNOWN

    def _indices(self, labels: list[str]) -> NDArray[np.int32]:
        """Index of each label; the last entry, reached by code -1, is that of a missing value."""
        found = [self.index.get(one, UNKNOWN) for one in labels]
        return np.array([*found, self._absent], np.int32)

    def encode(self, block: NDArray[Any]) -> NDArray[np.int64]:
        """Indices as the network takes them: int64."""
        return block.astype(np.int64)

    def parse(self, raw: Raw) -> NDArray[np.int32]:
        """The block of raw rows; problems are kept in `raw`."""
        block = np.zeros((len(raw), len(self.columns)), np.int32)
        for at, name in enumerate(self.columns):
            for row, value in raw.column(name):
                block[row, at] = self._cell(raw, row, name, value)
        return block if self.several else block[:, 0]

    def _cell(self, raw: Raw, row: int, name: str, value: Any) -> int:
        found = category(value, numeric=self.numeric)
        if isinstance(value, bool) and found not in self.index:
            found = next((word for word in self.index if word.lower() == found), found)
        if found is not None and found in self.index:
            return self.index[found]
        if is_missing(value):
            if self.missing == "error":
                raw.complain(row, name, "missing_value", "a value", value)
            return self._absent
        if found is None:
            raw.complain(row, name, "wrong_type", "one value: text, a number, true or false", value)
        return UNKNOWN


def _vocabulary(
    factors: list[Factors], train: NDArray[Any], limit: int | None, numeric: bool
) -> list[str]:
    """The values of the training rows, sorted; with a limit, the most frequent of them."""
    counts: dict[str, int] = {}
    for one in factors:
        seen = np.bincount(one.codes[train] + 1, minlength=len(one.labels) + 1)[1:]
        for word, count in zip(one.labels, seen.tolist(), strict=True):
            if count:
                counts[word] = counts.get(word, 0) + count
    words = sorted(counts, key=float) if numeric else sorted(counts)
    if limit is not None and len(words) > limit:
        words = sorted(words, key=counts.__getitem__, reverse=True)[:limit]
        words = sorted(words, key=float) if numeric else sorted(words)
    return words


class CategoryTargetEncoder(Record):
    """The classes of the target, in the order of the model's outputs."""

    type: Literal["category"] = "category"
    column: str
    classes: list[Value | float]

    @classmethod
    def fit(
        cls, given: CategoryTarget, column: Column
    ) -> "tuple[CategoryTargetEncoder, NDArray[np.int32]]":
        """The encoder and the class of every row, -1 where it is missing.

        Classes are those declared, or all values of the dataset, sorted.
        """
        factors = factorize(column)
        classes: list[Any] = list(factors.values if given.classes is None else given.classes)
        encoder = cls(column=given.column, classes=classes)
        index = {label(one): at for at, one in enumerate(classes)}
        undeclared = [word for word in factors.labels if word not in index]
        if undeclared:
            raise Invalid([_undeclared(word, list(index)) for word in undeclared[:20]])
        mapping = np.array([*(index[word] for word in factors.labels), -1], np.int32)
        return encoder, mapping[factors.codes]

    def encode(self, block: NDArray[Any]) -> NDArray[np.int64]:
        return block.astype(np.int64)

    def decode(self, outputs: NDArray[Any], *, logits: bool = True) -> list[dict[str, Any]]:
        """Model outputs (rows, classes) → {label, probabilities} for each row.

        Outputs are logits, or probabilities with `logits=False`; for two classes one logit
        (rows, 1) for the second class will do. Outputs that are not finite give no label.
        """
        scores = np.asarray(outputs, np.float64)
        if scores.ndim == 1:
            scores = scores[:, None]
        count = len(self.classes)
        if scores.ndim != 2 or scores.shape[1] not in ({count, 1} if count == 2 else {count}):
            raise Invalid(
                [
                    Problem(
                        "/outputs",
                        "wrong_shape",
                        f"the model gives {list(scores.shape)} for {count} classes",
                        expected=f"[rows, {count}]",
                        got=str(list(scores.shape)),
                    )
                ]
            )
        shares = _shares(scores, logits, count)
        return [self._answer(row) for row in shares]

    def _answer(self, shares: NDArray[np.float64]) -> dict[str, Any]:
        if not np.isfinite(shares).all():
            return {"label": None, "nonfinite": answer(float(shares.sum()))["nonfinite"]}
        names = [label(one) for one in self.classes]
        return {
            "label": self.classes[int(np.argmax(shares))],
            "probabilities": dict(zip(names, shares.tolist(), strict=True)),
        }


def _shares(scores: NDArray[np.float64], logits: bool, classes: int) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        if scores.shape[1] < classes:
            second = 1 / (1 + np.exp(-scores)) if logits else scores
            return np.concatenate([1 - second, second], axis=1)
        if not logits:
            return scores
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _undeclared(word: str, names: list[str]) -> Problem:
    return Problem(
        "/data/target/classes",
        "undeclared_class",
        f"the column holds {word[:40]!r}, which is not among the classes",
        expected=f"one of: {', '.join(names[:20])}",
        got=word[:40],
    )
