"""The page about the spec names everything that a spec can say, and its examples are valid."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic_core import PydanticUndefined

from spec.jobs import parse, schema
from spec.layers import KINDS, Arguments
from spec.losses import LOSSES
from spec.models import ModelSpec
from spec.problems import show

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "spec.md").read_text()
BEGIN, END = "<!-- layers -->\n", "<!-- end of layers -->"


def arguments(kind: type[Arguments]) -> str:
    """The arguments of a layer, the main one first, with their defaults."""
    fields = sorted(kind.model_fields.items(), key=lambda item: item[0] != kind.main)
    return ", ".join(
        name if field.default in (PydanticUndefined, None) else f"{name}: {show(field.default)}"
        for name, field in fields
    )


def table() -> str:
    rows = [f"| `{k}` | {arguments(one)} | {one.__doc__} |" for k, one in KINDS.items()]
    return "\n".join(["| layer | arguments | what it does |", "|---|---|---|", *rows, ""])


def test_the_table_of_layers_is_that_of_the_code() -> None:
    found = PAGE[PAGE.index(BEGIN) + len(BEGIN) : PAGE.index(END)]
    assert found == table(), f"the table should be:\n{table()}"


PARTS = (
    "TrainSpec",
    "Resources",
    "EarlyStopping",
    "CheckpointPolicy",
    "Mlp",
    "ConvNet",
    "NumberInput",
    "CategoryInput",
    "ImageInput",
)


@pytest.mark.parametrize("part", PARTS)
def test_every_field_is_named(part: str) -> None:
    names = set(schema()["$defs"][part]["properties"]) - {"name", "type", "precision"}
    assert not [name for name in names if f"`{name}`" not in PAGE and name not in PAGE]


def test_every_choice_is_named() -> None:
    properties = [one.get("properties", {}) for one in schema()["$defs"].values()]
    chosen = {one["name"]["const"] for one in properties if "const" in one.get("name", {})}
    chosen |= set(LOSSES)
    assert len(chosen) > 12
    assert not [name for name in chosen if f"`{name}`" not in PAGE]


def test_the_examples_of_the_page_are_valid() -> None:
    whole, graph = (yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", PAGE, re.S))
    assert parse(whole).train.epochs == 20
    assert ModelSpec.model_validate(graph["model"]).graph is not None


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/*.yaml")), ids=lambda p: p.stem)
def test_the_specs_in_examples_are_valid(path: Path) -> None:
    spec = parse(path.read_bytes(), format="yaml")
    assert parse(spec.document()) == spec
    assert spec.name == path.stem
