"""Pydantic's findings become problems: one for each fault, at its place in the document.

Tags of unions leave the pointer, the branches of a union that failed together become one problem,
and unknown names get a suggestion. Validators of ours hand over problems of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from core.errors import Problem
from spec.fields import Path, fields
from spec.problems import (
    MAX_PROBLEMS,
    did_you_mean,
    first,
    missing,
    names,
    pointer,
    show,
    under,
    unknown,
    wrong_type,
)

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "model_attributes": "a mapping",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
}
_LENGTHS = {
    "too_short": ("at least", "min_length", "entries"),
    "too_long": ("at most", "max_length", "entries"),
    "string_too_short": ("at least", "min_length", "characters"),
    "string_too_long": ("at most", "max_length", "characters"),
}


def carried(problems: Iterable[Problem]) -> NoReturn:
    """Leave a validator with problems of our own; pointers are relative to the validated value."""
    # pydantic needs a text; the problems themselves ride in the context
    raise PydanticCustomError("problems", "not valid", {"problems": tuple(problems)})


def of_validation(error: ValidationError, document: Any, model: type[BaseModel]) -> list[Problem]:
    """Every problem in a ValidationError of `model`; the first ones where there are very many."""
    found: dict[str, list[Problem]] = {}
    branches: set[str] = set()
    every = error.errors(include_url=False)
    for details in every[: 2 * MAX_PROBLEMS]:
        path, value, dropped = _place(details, document)
        for problem in _problems(details, path, value, document, model):
            found.setdefault(problem.pointer, []).append(problem)
            if dropped:
                branches.add(problem.pointer)
    inside = {place[:at] for place in branches for at, mark in enumerate(place) if mark == "/"}
    merged = [
        one
        for place, group in found.items()
        for one in _merge(group, deeper=place in branches and place in inside)
    ]
    return first(merged, cut=len(every) > 2 * MAX_PROBLEMS)


def _place(details: ErrorDetails, document: Any) -> tuple[Path, Any, bool]:
    """The error's path in the document and the value there; names of union branches are no places.

    The third says whether such a name was left out.
    """
    path: list[str | int] = []
    value, dropped = document, False
    location = details["loc"]
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if _holds(value, part):
            value = value[part]
        elif not (last and details["type"] in ("missing", "extra_forbidden")):
            dropped = True
            continue
        path.append(part)
    return tuple(path), value, dropped


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


def _problems(
    details: ErrorDetails, path: Path, value: Any, document: Any, model: type[BaseModel]
) -> Iterator[Problem]:
    context = details.get("ctx", {})
    if details["type"] == "problems":
        yield from under(context["problems"], pointer(path))
    elif details["type"] == "extra_forbidden":
        yield _unknown_field(path, document, model)
    elif details["type"] == "union_tag_invalid":
        yield _unknown_tag(path, value, context)
    else:
        yield _problem(details["type"], details["msg"], context, path, details["input"])


def _unknown_field(path: Path, document: Any, model: type[BaseModel]) -> Problem:
    known = fields(model, path[:-1], document)
    return Problem(
        pointer=pointer(path),
        code="unknown_field",
        detail=f"there is no field {show(path[-1])} here",
        expected=known,
        got=show(path[-1]),
        hint=did_you_mean(path[-1], known),
    )


def _problem(kind: str, message: str, context: dict[str, Any], path: Path, got: Any) -> Problem:
    """One finding of pydantic in our words."""
    place = pointer(path)
    if kind == "missing":
        return missing(place)
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        return _limit("out_of_range", place, f"{word} {context[key]}", show(got))
    if kind in _LENGTHS:
        word, key, unit = _LENGTHS[kind]
        count = context.get("actual_length") or len(got)
        return _limit("wrong_length", place, f"{word} {context[key]} {unit}", f"{count} {unit}")
    if kind == "literal_error":
        known = _quoted(context["expected"])
        if known and not isinstance(got, str):
            return wrong_type(place, f"one of {names(known)}", got)
        return unknown(place, str(path[-1]) if path else "value", got, known)
    if kind == "union_tag_not_found":
        return missing(f"{place}/{_quoted(context['discriminator'])[0]}")
    if kind == "string_pattern_mismatch":
        return _limit("bad_format", place, f"text that matches {context['pattern']}", show(got))
    if kind == "finite_number":
        return _limit("not_finite", place, "a finite number", show(got))
    for name, expected in _KINDS.items():
        if kind in (f"{name}_type", f"{name}_parsing", f"{name}_from_float", name):
            return wrong_type(place, expected, got)
    detail = message.removeprefix("Value error, ")
    return Problem(pointer=place, code="invalid", detail=detail, got=show(got))


def _unknown_tag(path: Path, value: Any, context: dict[str, Any]) -> Problem:
    """A thing chosen by name that does not exist: `{name: adamm}`, or `adamm` alone."""
    (tag,) = _quoted(context["discriminator"])
    what = str(path[-1]) if tag == "name" and path else tag
    place = pointer((*path, tag)) if isinstance(value, dict) else pointer(path)
    return unknown(place, what, context["tag"], _quoted(context["expected_tags"]))


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _limit(code: str, place: str, expected: str, got: str) -> Problem:
    detail = f"expected {expected}, got {got}"
    return Problem(pointer=place, code=code, detail=detail, expected=expected, got=got)


def _merge(group: list[Problem], *, deeper: bool) -> list[Problem]:
    """Branches of a union that failed at the same place are one problem.

    The branch that came furthest is the one that was meant: one that failed further inside
    (`deeper`), or one whose type was right. Where there is none, all their types together are what
    was expected.
    """
    kinds = [one for one in group if one.code == "wrong_type"]
    others = [one for one in group if one.code != "wrong_type"]
    if deeper:
        return others
    if others or len(kinds) < 2:
        return others or kinds
    expected = " or ".join(dict.fromkeys(str(one.expected) for one in kinds))
    detail = kinds[0].detail.replace(str(kinds[0].expected), expected, 1)
    return [replace(kinds[0], expected=expected, detail=detail)]
