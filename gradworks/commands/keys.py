"""`gradworks keys`"""

from __future__ import annotations

from typing import Annotated

import typer

from gradworks.commands.console import AsJson, answer, client_of
from gradworks.terminal import table

app = typer.Typer(help="API keys of the project.", no_args_is_help=True)


@app.command("create")
def create_key(
    context: typer.Context,
    name: str,
    scope: Annotated[list[str] | None, typer.Option(help="read, write, admin.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key; its token is shown this once."""
    with client_of(context) as client:
        made = client.keys.create(name, scopes=scope or ["read", "write"])
        answer(made, as_json, made["token"])


@app.command("list")
def list_keys(context: typer.Context, as_json: AsJson = False) -> None:
    """The project's API keys."""
    with client_of(context) as client:
        found = list(client.keys.each())
        rows = [(k["id"], k["name"], ", ".join(k["scopes"]), k["created_at"]) for k in found]
        answer(found, as_json, table("keys", ("id", "name", "scopes", "created"), rows))


@app.command("revoke")
def revoke_key(context: typer.Context, key_id: str) -> None:
    """Make a key worthless."""
    with client_of(context) as client:
        client.keys.revoke(key_id)
