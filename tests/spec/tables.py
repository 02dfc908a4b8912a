"""Small datasets for the tests of the spec, as tables in memory."""

import numpy as np
from sklearn.datasets import load_digits

from spec.data.profile import DataProfile, profile
from spec.data.tables import Column, FileRows, Table, narrow, numbers, texts

JOBS = ["baker", "clerk", "miner", "nurse"]


def table(columns: dict[str, Column]) -> Table:
    rows = len(next(iter(columns.values())))
    return Table(columns, [FileRows("data.csv", rows)], "csv")


def digits(rows: int = 1797) -> Table:
    """8 x 8 images: pixel_0 … pixel_63 from 0 to 16, and label."""
    found = load_digits()
    columns: dict[str, Column] = {
        f"pixel_{n}": numbers(narrow(found.data[:rows, n].astype(np.int64))) for n in range(64)
    }
    return table(columns | {"label": numbers(narrow(found.target[:rows]))})


def people(rows: int = 200) -> Table:
    """height, weight, job and age; age follows from the others, with a little noise."""
    draw = np.random.default_rng(7)
    height, weight = draw.normal(170, 10, rows), draw.normal(70, 8, rows)
    job = draw.integers(0, len(JOBS), rows)
    age = 20 + 0.1 * height + 0.2 * weight + 5 * job + draw.normal(0, 0.5, rows)
    return table(
        {
            "height": numbers(height),
            "weight": numbers(weight),
            "job": texts(JOBS, job.astype(np.int32)),
            "age": numbers(age),
        }
    )


DIGITS: DataProfile = profile(digits())
PEOPLE: DataProfile = profile(people())
