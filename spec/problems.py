"""What is wrong with a document, in words that a person can mend it by; and how much is said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from core.errors import Problem

MAX_PROBLEMS = 100
MAX_LAYERS = 5000

_work: ContextVar[_Work | None] = ContextVar("work", default=None)


def pointer(path: Iterable[str | int]) -> str:
    """The RFC 6901 JSON pointer of a path."""
    return "".join(
        "/" + _sendable(str(part)).replace("~", "~0").replace("/", "~1") for part in path
    )


def _sendable(text: str) -> str:
    """The text with half surrogate pairs written out, for they cannot be sent as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def show(value: Any, limit: int = 80) -> str:
    """A value as JSON, cut where it grows long."""
    try:
        text = _sendable(json.dumps(value, ensure_ascii=False, default=str))
    except (ValueError, RecursionError):
        text = str(type(value).__name__)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def names(known: Iterable[str]) -> str:
    return ", ".join(known)


def did_you_mean(wrong: object, known: Iterable[str]) -> str | None:
    """ "did you mean linear?", or None where nothing is near."""
    if not isinstance(wrong, str) or len(wrong) > 100 or not _may_suggest():
        return None
    by_key = {_key(name): name for name in known}
    close = get_close_matches(_key(wrong), by_key, n=1, cutoff=0.6)
    return f"did you mean {by_key[close[0]]}?" if close else None


class TooMany(Exception):
    """A document asks for more work than any good one needs; ends its validation at once."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(slots=True)
class _Work:
    suggestions: int = 0
    layers: int = 0


@contextmanager
def bounded() -> Iterator[None]:
    """Bound the work that a bad document can cause inside: suggestions, and layers looked at."""
    token = _work.set(_Work())
    try:
        yield
    finally:
        _work.reset(token)


def count_layer() -> None:
    """Raise TooMany at the layer that is one too many."""
    work = _work.get()
    if work is None:
        return
    work.layers += 1
    if work.layers > MAX_LAYERS:
        detail = f"the model has more than {MAX_LAYERS} layers, nested ones counted"
        raise TooMany(Problem("/model", "too_large", detail, expected=f"at most {MAX_LAYERS}"))


def _may_suggest() -> bool:
    work = _work.get()
    if work is None:
        return True
    work.suggestions += 1
    return work.suggestions <= MAX_PROBLEMS


def first(problems: Iterable[Problem], *, cut: bool = False) -> list[Problem]:
    """At most MAX_PROBLEMS of them, and a word where there are more, or were before a `cut`."""
    found = list(problems)
    known = [one for one in found if one.code != "more"]
    if not cut and len(known) == len(found) <= MAX_PROBLEMS:
        return known
    more = Problem("", "more", "there are more problems than these", hint="mend these first")
    return [*known[:MAX_PROBLEMS], more]


def _key(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def unknown(place: str, what: str, wrong: object, known: Sequence[str]) -> Problem:
    """An unknown name where one of `known` is expected."""
    hint = did_you_mean(wrong, known)
    return Problem(
        pointer=place,
        code="unknown_name",
        detail=f"there is no {what} {show(wrong)}",
        expected=list(known),
        got=show(wrong),
        hint=hint,
    )


def wrong_type(place: str, expected: str, got: object, hint: str | None = None) -> Problem:
    return Problem(
        pointer=place,
        code="wrong_type",
        detail=f"expected {expected}, got {kind_of(got)}",
        expected=expected,
        got=show(got),
        hint=hint,
    )


def kind_of(value: object) -> str:
    """A value's type in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "a mapping"


def under(problems: Iterable[Problem], place: str) -> list[Problem]:
    """The same problems seen from further up."""
    return [replace(problem, pointer=place + problem.pointer) for problem in problems]


def missing(place: str) -> Problem:
    name = place.rsplit("/", 1)[-1]
    return Problem(
        pointer=place, code="missing", detail=f"{name} is needed", hint=f"add {name} here"
    )
