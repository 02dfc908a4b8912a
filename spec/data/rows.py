"""Raw rows given for prediction, column by column, and what is wrong with them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import Invalid, Problem
from spec.data.cells import shown
from spec.data.sources import pointer_part, suggestion

MAX_PROBLEMS = 50


class Raw:
    """Rows as a user sends them: mappings from column to value."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = rows
        self._problems: list[Problem] = []
        self._count = 0
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                self._add(f"/rows/{index}", "wrong_type", "a row is a mapping", "a mapping", row)
        self.check()

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> Iterator[tuple[int, Any]]:
        """Rows that have the column, with its value; the others are a problem."""
        for index, row in enumerate(self._rows):
            if name in row:
                yield index, row[name]
                continue
            self._count += 1
            if len(self._problems) < MAX_PROBLEMS:
                self._problems.append(
                    Problem(
                        f"/rows/{index}/{pointer_part(name)}",
                        "missing_column",
                        f"row {index} has no column {name!r}",
                        expected=f"a value for {name!r}; null where it is missing",
                        got=", ".join(map(str, list(row)[:10])),
                        hint=suggestion(name, [str(key) for key in row]),
                    )
                )

    def plain(self, names: Sequence[str]) -> NDArray[np.float64] | None:
        """The values of columns as (rows, columns) where all are finite numbers, else None."""
        try:
            found = np.array([[row[name] for name in names] for row in self._rows])
        except (KeyError, ValueError, OverflowError):
            return None
        if found.ndim != 2 or found.dtype.kind not in "iuf" or not np.isfinite(found).all():
            return None
        return found.astype(np.float64)

    def complain(self, index: int, name: str, code: str, expected: str, value: Any) -> None:
        """Keep that a value is not what its column needs."""
        pointer = f"/rows/{index}/{pointer_part(name)}"
        self._add(pointer, code, f"row {index}, {name!r}: {shown(value)}", expected, value)

    def check(self) -> None:
        """Raise Invalid with the problems found so far."""
        if self._problems:
            more = self._count - len(self._problems)
            raise Invalid(
                self._problems,
                f"{self._count} problems with the rows; the first: {self._problems[0].detail}"
                if more
                else None,
            )

    def _add(self, pointer: str, code: str, detail: str, expected: str, value: Any) -> None:
        self._count += 1
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(Problem(pointer, code, detail, expected, shown(value)))
