"""The fields that a place of a document may have, for suggestions where one is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

Path = tuple[str | int, ...]


def fields(model: type[BaseModel], path: Path, document: Any) -> list[str]:
    """The names of the fields at `path`, by the models and the tags of the document."""
    annotations: list[Any] = [model]
    value = document
    for part in path:
        annotations = [
            inner for one in _models(annotations, value) for inner in _step(one, part)
        ] + [inner for one in annotations for inner in _elements(one)]
        value = value[part]
    known: dict[str, None] = {}
    for one in _models(annotations, value):
        known |= {field.alias or name: None for name, field in one.model_fields.items()}
    return list(known)


def _models(annotations: Iterable[Any], value: Any) -> list[type[BaseModel]]:
    """The models among the annotations; where tags tell them apart, those that the value names."""
    found = [one for a in annotations for one in _branches(a) if _is_model(one)]
    tagged = [one for one in found if _names(one, value)]
    return tagged or found


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _names(model: type[BaseModel], value: Any) -> bool:
    tags = {
        name: get_args(field.annotation)
        for name, field in model.model_fields.items()
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
    }
    return isinstance(value, dict) and any(value.get(n) in options for n, options in tags.items())


def _step(model: type[BaseModel], part: str | int) -> list[Any]:
    for name, field in model.model_fields.items():
        if part in (name, field.alias):
            return [field.annotation]
    return []


def _branches(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from _branches(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _branches(one)
    else:
        yield annotation


def _elements(annotation: Any) -> list[Any]:
    """What a list or mapping holds."""
    return [get_args(one)[-1] for one in _branches(annotation) if get_origin(one) in (list, dict)]
