"""`gradworks models`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gradworks.commands.console import AsJson, answer, client_of, parsed, print_json
from gradworks.terminal import table

app = typer.Typer(help="Download models, predict with them.", no_args_is_help=True)


@app.command("list")
def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """The project's models."""
    with client_of(context) as client:
        found = list(client.models.each())
        rows = [(m["id"], m["name"], m["job_id"], m["created_at"]) for m in found]
        answer(found, as_json, table("models", ("id", "name", "job", "created"), rows))


@app.command("download")
def download_model(
    context: typer.Context,
    model_id: str,
    to: Annotated[Path, typer.Option("--to", help="Folder; made if need be.")] = Path("model"),
    as_json: AsJson = False,
) -> None:
    """Fetch a model's files; each is checked against its sha256."""
    with client_of(context) as client:
        paths = client.models.download(model_id, to)
        answer([str(p) for p in paths], as_json, "\n".join(map(str, paths)))


@app.command("predict")
def predict(
    context: typer.Context,
    model_id: str,
    rows: Annotated[Path, typer.Argument(exists=True, allow_dash=True, help="JSON; - is stdin.")],
) -> None:
    """Predict raw rows: a JSON list of {column: value}."""
    text = sys.stdin.read() if str(rows) == "-" else rows.read_text()
    with client_of(context) as client:
        print_json(client.models.predict(model_id, parsed(text, "the rows")))
