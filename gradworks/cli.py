"""The command line. Results go to stdout, everything else to stderr.

Exit codes: 0 done · 1 the job failed, or another error · 2 wrong usage · 3 the request was refused
· 4 the key was · 5 there is no such thing · 6 the service does not answer · 130 interrupted.
"""

from __future__ import annotations

import signal
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from gradworks.commands import datasets, jobs, keys, models
from gradworks.commands.console import Connection, err, errors_in_plain_words, out
from gradworks.service import Service

app = typer.Typer(
    help="Train models on a Gradworks service.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(datasets.app, name="datasets")
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.command()(jobs.plan)

Folder = Annotated[
    Path, typer.Option("--data-dir", envvar="GRADWORKS_DATA_DIR", help="Folder of a local service.")
]


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(version("gradworks"))
        raise typer.Exit


@app.callback()
def connect(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(envvar="GRADWORKS_URL", help="The service.")] = None,
    key: Annotated[str | None, typer.Option(envvar="GRADWORKS_API_KEY", help="API key.")] = None,
    folder: Folder = Path("gradworks-data"),
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    context.obj = Connection(url, key, folder)


@app.command()
def up(
    context: typer.Context,
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    api_processes: Annotated[int, typer.Option(min=1, max=64)] = 1,
) -> None:
    """Run the whole service on this machine, in one folder, until Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    connection: Connection = context.obj
    with errors_in_plain_words():
        service = Service(connection.folder, host=host, port=port, api_processes=api_processes)
        with service:
            out.print(f"Gradworks runs at {service.url}")
            out.print(f"Its data lies in {service.folder}")
            if service.key:
                out.print(f"Your API key, shown this once: {service.key}", soft_wrap=True)
            while not stop.wait(1.0):
                service.supervise()
            err.print("stopping …")


def main() -> None:
    app()
