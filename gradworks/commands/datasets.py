"""`gradworks datasets`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradworks.commands.console import AsJson, Json, answer, client_of, err, json_option
from gradworks.terminal import size, table

app = typer.Typer(help="Upload data and look at it.", no_args_is_help=True)


@app.command("upload")
def upload_dataset(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)],
    name: Annotated[str | None, typer.Option(help="Default: the first file's name.")] = None,
    format: Annotated[str | None, typer.Option(help="csv, parquet, npz or idx.")] = None,
    options: Annotated[str | None, typer.Option(help='JSON, as {"header": false}.')] = None,
    as_json: AsJson = False,
) -> None:
    """Upload files as a dataset; a name that exists gets a new version."""
    with client_of(context) as client:
        with err.status("uploading …") as status:
            made = client.datasets.upload(
                name or files[0].name.split(".")[0],
                files,
                format=format,
                options=json_option(options),
                progress=lambda sent, total: status.update(f"{size(sent)} of {size(total)}"),
            )
        answer(made, as_json, _dataset_line(made))


@app.command("list")
def list_datasets(context: typer.Context, as_json: AsJson = False) -> None:
    """The project's datasets."""
    with client_of(context) as client:
        found = list(client.datasets.each())
        columns = ("name", "version", "rows", "columns", "id")
        rows = [
            (d["name"], v["number"], v["rows"], len(v["columns"]), d["id"])
            for d in found
            for v in [d["version"]]
        ]
        answer(found, as_json, table("datasets", columns, rows))


@app.command("show")
def show_dataset(context: typer.Context, dataset: str, as_json: AsJson = False) -> None:
    """What the service made of a dataset: its columns and their profile."""
    with client_of(context) as client:
        found = client.datasets.get(dataset)
        columns = ("column", "type", "missing", "distinct")
        rows = [
            (c["name"], c["type"], c.get("missing"), c.get("distinct"))
            for c in found["version"]["columns"]
        ]
        answer(found, as_json, table(_dataset_line(found), columns, rows))


@app.command("delete")
def delete_dataset(context: typer.Context, dataset: str) -> None:
    """Delete a dataset with all its versions."""
    with client_of(context) as client:
        client.datasets.delete(dataset)


def _dataset_line(dataset: Json) -> str:
    known = dataset["version"]
    return f"{dataset['name']}@{known['number']}: {known['rows']:,} rows, {dataset['id']}"
