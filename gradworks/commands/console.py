"""What every command shares: the connection, the two consoles, answers and errors."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gradworks.client import Client
from gradworks.errors import GradworksError

Json = dict[str, Any]

# What goes into a pipe is read by programs: lines are as long as they are.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 500)
err = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Spec = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="YAML or JSON.")]


@dataclass
class Connection:
    url: str | None
    key: str | None
    folder: Path


@contextmanager
def client_of(context: typer.Context) -> Iterator[Client]:
    with errors_in_plain_words(), _connect(context.obj) as client:
        yield client


def _connect(connection: Connection) -> Client:
    """From options and environment first, else from a local service's folder."""
    path = connection.folder / "client.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    url = connection.url or known.get("url")
    key = connection.key or known.get("key")
    if not url or not key:
        raise GradworksError(
            "no service is known here: start one with `gradworks up`, "
            "or set GRADWORKS_URL and GRADWORKS_API_KEY"
        )
    return Client(url, api_key=key)


@contextmanager
def errors_in_plain_words() -> Iterator[None]:
    try:
        yield
    except GradworksError as error:
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def answer(found: Any, as_json: bool, *shown: Any) -> None:
    if as_json:
        print_json(found)
    else:
        for part in shown:
            out.print(part, soft_wrap=isinstance(part, str), markup=False)


def print_json(found: Any) -> None:
    sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def json_option(text: str | None) -> Json | None:
    return None if text is None else parsed(text, "--options")


def parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise GradworksError(f"{what} should be JSON: {error}") from error
