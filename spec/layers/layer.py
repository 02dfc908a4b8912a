"""One entry of `layers`: a kind and its arguments, read from any of the three ways to write it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from core.errors import Problem
from spec.layers.kinds import KINDS, Arguments, dump, known_kinds, plain, required
from spec.problems import (
    count_layer,
    did_you_mean,
    pointer,
    show,
    under,
    unknown,
    wrong_type,
)
from spec.validation import carried, of_validation

#: Stands in pydantic's schemas where `spec.schemas` puts the reference to the layers.
PLACEHOLDER = "layer-of-a-model"


@dataclass(frozen=True, slots=True)
class Layer:
    """`relu`, `{linear: 128}` or `{linear: {out_features: 128, bias: false}}`."""

    kind: str
    arguments: Arguments
    #: Where the main argument was written, seen from the layer; for pointers to what is inside.
    main: str = field(default="", compare=False)

    def document(self) -> Any:
        """The canonical way to write it: every argument named, or the kind alone if it has none."""
        return self.kind if plain(type(self.arguments)) else {self.kind: dump(self.arguments)}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _read,
            serialization=core_schema.plain_serializer_function_ser_schema(Layer.document),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {PLACEHOLDER: True}


def _read(value: Any) -> Layer:
    if isinstance(value, Layer):
        return value
    count_layer()
    found = read(value)
    return found if isinstance(found, Layer) else carried(found)


def read(value: Any) -> Layer | list[Problem]:
    """The layer that a value describes, or what is wrong with it."""
    if isinstance(value, str):
        kind, written, place = value, None, ""
    elif isinstance(value, dict) and len(value) == 1:
        ((kind, written),) = value.items()
        place = pointer((kind,))
    else:
        return [_not_one(value)]
    known = known_kinds(merging=False)
    if kind in known:
        return arguments_of(kind, written, place)
    problem = unknown(place, "layer", kind, known)
    if written in known:
        problem = replace(problem, hint=f"write {written}, or {written}: {{…}}")
    if kind in KINDS:
        hint = f"{kind} takes several inputs; it belongs into a graph"
        problem = Problem(problem.pointer, "misplaced", hint, got=show(kind))
    return [problem]


def _not_one(value: Any) -> Problem:
    expected = "a layer: its name, or a mapping of its name to its arguments"
    if not isinstance(value, dict) or not value:
        return wrong_type("", expected, value, hint="write relu, or linear: 128")
    kinds = [key for key in value if key in KINDS]
    detail = f"one layer is expected here, not the keys {', '.join(map(str, value))}"
    hint = "give each layer a list item of its own"
    if len(kinds) == 1:
        rest = ", ".join(f"{key}: {show(value[key])}" for key in value if key != kinds[0])
        hint = f"put the arguments under the name: {kinds[0]}: {{{rest}}}"
    elif not kinds:
        name = value.get("type") or value.get("name") or value.get("kind")
        hint = did_you_mean(name, KINDS) or "write it as linear: {out_features: 128}"
        if isinstance(name, str) and name in KINDS:
            hint = f"write it as {name}: {{…}}"
    return Problem("", "one_layer", detail, expected=expected, got=show(value), hint=hint)


def arguments_of(kind: str, written: Any, place: str) -> Layer | list[Problem]:
    """The layer of that kind with those arguments, given in full or as the main one alone."""
    arguments = KINDS[kind]
    short = not (written is None or isinstance(written, dict))
    if short and arguments.main is None:
        hint = f"write {kind} alone" if plain(arguments) else f"name them: {kind}: {{…}}"
        return [wrong_type(place, f"the arguments of {kind} by name", written, hint=hint)]
    document = {arguments.main: written} if short else written or {}
    main = place if short else place + pointer((arguments.main or "",))
    try:
        return Layer(kind, arguments.model_validate(document), main)
    except ValidationError as error:
        problems = of_validation(error, document, arguments)
    return under([_shortened(one, arguments, short) for one in problems], place)


def _shortened(problem: Problem, arguments: type[Arguments], short: bool) -> Problem:
    """In the short form the main argument has no pointer of its own."""
    prefix = f"/{arguments.main}"
    at_main = problem.pointer == prefix or problem.pointer.startswith(prefix + "/")
    if short and at_main:
        return replace(problem, pointer=problem.pointer.removeprefix(prefix))
    if problem.code == "missing" and problem.pointer == prefix and required(arguments):
        return replace(problem, hint=f"write {arguments.kind}: and its {arguments.main}")
    return problem
