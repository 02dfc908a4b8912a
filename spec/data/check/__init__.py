"""Every problem of a data spec with the dataset it names, all at once, without reading the data."""

from core.errors import Invalid, Problem
from spec.data.check.columns import Problems
from spec.data.check.inputs import input_problems
from spec.data.check.split import split_problems
from spec.data.check.target import target_problems
from spec.data.columns import resolve, unknown
from spec.data.config import DataSpec, Input
from spec.data.profile import DataProfile
from spec.data.shapes import DataShapes, shapes
from spec.data.sources import pointer_part

__all__ = ["check", "describe"]


def check(data: DataSpec, profile: DataProfile) -> list[Problem]:
    """Every problem of the spec with this dataset; pointers lead into the spec, from /data."""
    known = profile.by_name()
    problems = [
        problem
        for name, given in data.inputs.items()
        for problem in _input(data, profile, name, given)
    ]
    target = known.get(data.target.column)
    if target is None:
        problems.append(unknown("/data/target/column", data.target.column, list(known)))
    else:
        problems += target_problems(data.target, target, profile.rows)
    return [*problems, *split_problems(data, profile)]


def describe(data: DataSpec, profile: DataProfile) -> DataShapes:
    """What `prepare` will yield, from the profile alone; raises Invalid with every problem."""
    problems = check(data, profile)
    if problems:
        raise Invalid(problems)
    return shapes(data, profile)


def _input(data: DataSpec, profile: DataProfile, name: str, given: Input) -> Problems:
    known = profile.by_name()
    columns, unresolved = resolve(name, given, list(known))
    yield from unresolved
    place = pointer = f"/data/inputs/{pointer_part(name)}"
    if given.column is not None or given.columns is not None:
        pointer += "/column" if given.columns is None else "/columns"
    if data.target.column in columns:
        yield Problem(
            pointer,
            "target_leak",
            f"the target {data.target.column!r} is among the inputs",
            expected="columns other than the target's",
            got=data.target.column,
            hint="leave the target's column out: the model would only copy it",
        )
    if columns and not unresolved:
        found = [known[column] for column in columns]
        yield from input_problems(place, pointer, given, found, profile.rows)
