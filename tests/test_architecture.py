"""Who may import whom, and what nobody may import."""

import ast
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "engine": set(),
    "gradworks": set(),
    "store": {"core"},
    "spec": {"core", "engine"},
    "worker": {"core", "store", "spec", "engine"},
    "api": {"core", "store", "spec"},
    "migrations": {"core", "store"},
}
PEERS = {"torch", "jax", "jaxlib", "tensorflow", "keras", "flax", "mlx"}
# Formats that run code when they are read.
UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
each_package = pytest.mark.parametrize("package", MAY_IMPORT)


@cache
def sources(package: str) -> dict[str, ast.Module]:
    """The parsed sources of a package by their names."""
    paths = sorted((ROOT / package).rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in paths}


def imported(tree: ast.AST) -> set[str]:
    """The top-level packages that the source imports, however deep inside functions."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
        elif isinstance(node, ast.Call) and name_of(node.func) in ("import_module", "__import__"):
            names |= {
                argument.value
                for argument in node.args
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            }
    return {name.split(".")[0] for name in names}


def name_of(function: ast.expr) -> str:
    return getattr(function, "attr", None) or getattr(function, "id", "")


@each_package
def test_imports_point_downward(package):
    houses = MAY_IMPORT.keys() | {"tests", "benchmarks"}
    forbidden = houses - MAY_IMPORT[package] - {package}

    wrong = {name: imported(tree) & forbidden for name, tree in sources(package).items()}

    assert wrong
    assert {name: found for name, found in wrong.items() if found} == {}


@each_package
def test_no_peer_is_imported_and_nothing_unpickled(package):
    wrong = {name: imported(tree) & (PEERS | UNSAFE) for name, tree in sources(package).items()}

    assert {name: found for name, found in wrong.items() if found} == {}


@each_package
def test_arrays_are_read_without_pickle(package):
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in sources(package).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword)
        and node.arg == "allow_pickle"
        and ast.unparse(node.value) != "False"
    ]

    assert wrong == []


@pytest.mark.parametrize(
    "code",
    [
        "import {}",
        "from {}.nn import Module",
        "import {}.nn as x",
        "def f():\n    import {}",
        "import_module('{}.nn')",
        "importlib.import_module('{}')",
    ],
)
def test_no_way_of_importing_is_overlooked(code):
    assert "torch" in imported(ast.parse(code.format("torch")))


def test_every_package_of_the_wheel_has_its_rule():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

    assert set(wheel) == set(MAY_IMPORT)
