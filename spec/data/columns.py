"""Which columns of a dataset an input takes: names and globs, in natural order."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from core.errors import Problem
from spec.data.config import Input
from spec.data.sources import pointer_part, suggestion

GLOB = re.compile(r"[*?\[]")


def resolve(name: str, given: Input, known: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """The columns of an input, and a problem for each name or glob that finds none."""
    place = f"/data/inputs/{pointer_part(name)}"
    if given.columns is None:
        column = name if given.column is None else given.column
        pointer = place if given.column is None else f"{place}/column"
        return ([column], []) if column in known else ([], [unknown(pointer, column, known)])
    patterns = [given.columns] if isinstance(given.columns, str) else given.columns
    names = set(known)
    found: dict[str, None] = {}
    problems = []
    for index, pattern in enumerate(patterns):
        matching = _matching(pattern, names, known)
        found |= dict.fromkeys(matching)
        if not matching:
            step = "" if isinstance(given.columns, str) else f"/{index}"
            problems.append(unknown(f"{place}/columns{step}", pattern, known))
    return list(found), problems


def _matching(pattern: str, names: set[str], known: Sequence[str]) -> list[str]:
    if pattern in names:
        return [pattern]
    if not GLOB.search(pattern):
        return []
    return sorted((name for name in known if fnmatchcase(name, pattern)), key=natural)


def natural(name: str) -> list[tuple[int, int, str]]:
    """A sort key that reads numbers as numbers: pixel_2 before pixel_10."""
    return [
        (0, int(part), part) if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]


def unknown(pointer: str, name: str, known: Sequence[str]) -> Problem:
    """The problem that no column has this name."""
    glob = GLOB.search(name) is not None
    shown = ", ".join(known[:20]) + (" …" if len(known) > 20 else "")
    return Problem(
        pointer,
        "unknown_column",
        f"no column matches {name!r}" if glob else f"the dataset has no column {name!r}",
        expected=f"one of: {shown}",
        got=name,
        hint=suggestion(name, known),
    )
