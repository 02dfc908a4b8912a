"""Text becomes data: JSON and YAML, read with the same few types and nothing hidden.

YAML is built straight from the parser's events. There are no tags, anchors or aliases, so a short
text cannot stand for a large value; scalars follow YAML 1.2, so `no` is a word and `1e-3` a number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Literal

import yaml

from core.errors import Invalid, Problem
from spec.problems import pointer, show

Format = Literal["json", "yaml"]

MAX_BYTES = {"json": 4 * 2**20, "yaml": 2**20}
MAX_DEPTH = 64
MAX_VALUES = 200_000
MAX_KEYS = 1000
#: Faults of single values, beside which the rest of a document can still be checked.
LOCAL = {"not_finite", "bad_text"}

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NONFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Refused(Exception):
    """A text that is no document; carries the problem."""

    def __init__(self, code: str, detail: str, *, at: str = "", hint: str | None = None) -> None:
        super().__init__(detail)
        self.problem = Problem(pointer=at, code=code, detail=detail, hint=hint)


def load(text: str | bytes, *, format: Format | None = None) -> Any:
    """The value that a JSON or YAML text holds.

    Where `format` is left out, a text that starts with a brace is JSON, and YAML otherwise.
    Raises Invalid for a text that is neither, is too large or too deep, names a key twice, or
    holds anchors, aliases or tags. What `faults` finds it lets pass.
    """
    try:
        return _load(_decoded(text), format)
    except _Refused as refusal:
        raise Invalid([refusal.problem]) from None


def _decoded(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    if len(text) > max(MAX_BYTES.values()):
        raise _too_large(len(text), max(MAX_BYTES.values()))
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Refused("bad_encoding", f"byte {error.start} is not UTF-8") from None


def _too_large(size: int, limit: int) -> _Refused:
    return _Refused("too_large", f"the document has {size} bytes; at most {limit} are read")


def _load(text: str, format: Format | None) -> Any:
    chosen = format or ("json" if text.lstrip()[:1] in ("{", "[") else "yaml")
    if len(text) > MAX_BYTES[chosen]:
        raise _too_large(len(text), MAX_BYTES[chosen])
    if chosen == "yaml":
        return _yaml(text)
    try:
        return _json(text)
    except _Refused as refusal:
        if format is not None or refusal.problem.code != "bad_json":
            raise
        try:
            return _yaml(text)
        except _Refused:
            raise refusal from None


# JSON


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_pairs)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _Refused("bad_json", f"not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise _Refused("too_deep", f"the document is nested deeper than {MAX_DEPTH}") from None
    except ValueError:
        raise _Refused("out_of_range", "a whole number has more than 4000 digits") from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _twice(key)
        found[key] = value
    return found


def _twice(key: str, *, at: str = "", line: int | None = None) -> _Refused:
    where = "" if line is None else f" (line {line})"
    return _Refused("duplicate_key", f"the key {show(key)} is given twice{where}", at=at)


# YAML


class _Open:
    """A mapping or sequence that is still being filled."""

    __slots__ = ("key", "path", "value")

    def __init__(self, value: dict[str, Any] | list[Any], path: tuple[str | int, ...]) -> None:
        self.value = value
        self.path = path
        self.key: str | None = None  # the key that waits for its value

    def here(self) -> tuple[str | int, ...]:
        if isinstance(self.value, list):
            return (*self.path, len(self.value))
        return self.path if self.key is None else (*self.path, self.key)


def _yaml(text: str) -> Any:
    roots: list[Any] = []
    stack: list[_Open] = []
    try:
        for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
            if count > 2 * MAX_VALUES:
                raise _Refused("too_large", f"the document holds more than {MAX_VALUES} values")
            _take(event, stack, roots)
    except yaml.YAMLError as error:
        raise _Refused("bad_yaml", f"not YAML: {_reason(error)}") from None
    except ValueError:
        raise _Refused("bad_yaml", "not YAML: a character that YAML does not allow") from None
    if len(roots) != 1:
        raise _Refused("bad_yaml", f"one document is expected, not {len(roots)}")
    return roots[0]


def _reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    return (
        problem if mark is None else f"{problem} at line {mark.line + 1}, column {mark.column + 1}"
    )


def _take(event: Any, stack: list[_Open], roots: list[Any]) -> None:
    """Let one event of the parser grow the value under construction."""
    if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
        stack.pop()
    elif isinstance(event, yaml.NodeEvent):
        path = stack[-1].here() if stack else ()
        _refuse_indirection(event, path)
        _place(event, _value(event), path, stack, roots)


def _refuse_indirection(event: Any, path: tuple[str | int, ...]) -> None:
    at, line = pointer(path), event.start_mark.line + 1
    if event.anchor is not None:
        hint = "write the value out in both places"
        raise _Refused("alias", f"anchors and aliases are not read (line {line})", at=at, hint=hint)
    if getattr(event, "tag", None) not in (None, "!"):
        raise _Refused("tag", f"tags such as {event.tag} are not read (line {line})", at=at)


def _value(event: Any) -> Any:
    if isinstance(event, yaml.MappingStartEvent):
        return {}
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    return _scalar(event.value) if event.implicit[0] else event.value


def _scalar(text: str) -> Any:
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NONFINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def _place(
    event: Any, value: Any, path: tuple[str | int, ...], stack: list[_Open], roots: list[Any]
) -> None:
    if not stack:
        roots.append(value)
    elif isinstance(stack[-1].value, list):
        stack[-1].value.append(value)
    elif stack[-1].key is None:
        stack[-1].key = _key(event, value, stack[-1])
        return
    else:
        stack[-1].value[stack[-1].key] = value
        stack[-1].key = None
    if isinstance(value, dict | list):
        if len(stack) >= MAX_DEPTH:
            detail = f"the document is nested deeper than {MAX_DEPTH}"
            raise _Refused("too_deep", detail, at=pointer(path))
        stack.append(_Open(value, path))


def _key(event: Any, value: Any, parent: _Open) -> str:
    line = event.start_mark.line + 1
    if isinstance(value, dict | list):
        detail = f"a key must be text (line {line})"
        raise _Refused("wrong_type", detail, at=pointer(parent.path))
    key: str = event.value
    if key in parent.value:
        raise _twice(key, at=pointer((*parent.path, key)), line=line)
    return key


# What JSON cannot carry


def faults(root: Any) -> Iterator[Problem]:
    """Other types, keys that are not text, depth, numbers that are not finite, NUL.

    It walks without recursion; a document that is too large or too deep ends the walk.
    """
    stack: list[tuple[Any, tuple[str | int, ...]]] = [(root, ())]
    count = 0
    while stack:
        value, path = stack.pop()
        count += 1
        if count > MAX_VALUES:
            yield Problem(
                pointer="", code="too_large", detail=f"the document holds over {MAX_VALUES} values"
            )
            return
        if isinstance(value, dict | list) and len(path) > MAX_DEPTH:
            detail = f"the document is nested deeper than {MAX_DEPTH}"
            yield Problem(pointer=pointer(path), code="too_deep", detail=detail)
            return
        fault = _fault(value)
        if fault is not None:
            yield Problem(pointer(path), fault[0], fault[1], got=show(value))
        elif isinstance(value, dict):
            stack.extend((item, (*path, key)) for key, item in reversed(list(value.items())))
        elif isinstance(value, list):
            stack.extend((value[index], (*path, index)) for index in reversed(range(len(value))))


def _fault(value: Any) -> tuple[str, str] | None:
    if isinstance(value, dict):
        if len(value) > MAX_KEYS:
            return "too_large", f"{len(value)} keys; no mapping has more than {MAX_KEYS}"
        if not all(isinstance(key, str) for key in value):
            return "wrong_type", "keys must be text"
        return next(filter(None, map(_text_fault, value)), None)
    if isinstance(value, float) and not math.isfinite(value):
        return "not_finite", "the number is not finite"
    if isinstance(value, str):
        return _text_fault(value)
    if value is None or isinstance(value, bool | int | float | list):
        return None
    return "wrong_type", f"{type(value).__name__} is not a JSON value"


def _text_fault(text: str) -> tuple[str, str] | None:
    if "\x00" in text:
        return "bad_text", "text may not hold the character NUL"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "bad_text", "text may not hold half of a surrogate pair"
    return None
