"""`gradworks jobs` and `gradworks plan`"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gradworks.client import Client
from gradworks.commands.console import AsJson, Json, Spec, answer, client_of, err, out, print_json
from gradworks.terminal import describe, size, table, watch

app = typer.Typer(help="Submit jobs, watch and cancel them.", no_args_is_help=True)


def plan(
    context: typer.Context,
    spec: Spec,
    explain: Annotated[bool, typer.Option("--explain", help="The compiled step, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What a job would cost, layer by layer; or everything that is wrong with it."""
    with client_of(context) as client:
        found = client.jobs.plan(spec, explain=explain)
        columns = ("layer", "kind", "output", "parameters", "FLOPs")
        rows = [
            (
                layer["path"],
                layer["kind"],
                "x".join(map(str, layer["output_shape"])),
                f"{layer['parameters']:,}",
                f"{layer['flops']:,}",
            )
            for layer in found["layers"]
        ]
        more = _explained(found["explanation"]) if explain else ()
        answer(found, as_json, table("plan", columns, rows), _plan_lines(found), *more)


@app.command("submit")
def submit_job(
    context: typer.Context,
    spec: Spec,
    follow: Annotated[bool, typer.Option("--watch/--no-watch", help="Stay and show it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Queue a job."""
    with client_of(context) as client:
        job = client.jobs.submit(spec)
        if follow:
            err.print(f"job {job['id']}")
            job = watch(client.jobs, job["id"], err)
        answer(job, as_json, _job_line(job))
        _exit_as(job)


@app.command("watch")
def watch_job(context: typer.Context, job_id: str, as_json: AsJson = False) -> None:
    """Show a job until it has ended; the exit code says how."""
    with client_of(context) as client:
        job = watch(client.jobs, job_id, err)
        answer(job, as_json, _job_line(job))
        _exit_as(job)


@app.command("list")
def list_jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    as_json: AsJson = False,
) -> None:
    """The project's jobs, latest first."""
    with client_of(context) as client:
        found = list(client.jobs.each(state=state))
        columns = ("id", "name", "state", "figures", "created")
        rows = [(j["id"], j["name"], j["state"], describe(j), j["created_at"]) for j in found]
        answer(found, as_json, table("jobs", columns, rows))


@app.command("show")
def show_job(context: typer.Context, job_id: str) -> None:
    """Everything known of a job, as JSON."""
    with client_of(context) as client:
        print_json(client.jobs.get(job_id))


@app.command("cancel")
def cancel_job(context: typer.Context, job_id: str, as_json: AsJson = False) -> None:
    """Stop a job."""
    with client_of(context) as client:
        job = client.jobs.cancel(job_id)
        answer(job, as_json, _job_line(job))


@app.command("logs")
def show_logs(
    context: typer.Context,
    job_id: str,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the job ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """The job's log."""
    with client_of(context) as client:
        lines = _followed_logs(client, job_id) if follow else client.jobs.logs(job_id)
        for line in lines:
            if as_json:
                sys.stdout.write(json.dumps(line) + "\n")
            else:
                out.print(f"{line['at']} {line['level']:<7} {line['message']}", markup=False)


def _job_line(job: Json) -> str:
    why = f" ({job['reason']})" if job.get("reason") else ""
    line = f"{job['id']} {job['state']}{why}  {describe(job)}".rstrip()
    if job.get("model_id"):
        line += f"\nmodel {job['model_id']}"
    if job.get("error"):
        line += f"\n{job['error'].get('detail', job['error'])}"
    return line


def _plan_lines(found: Json) -> str:
    peak = size(found["bytes"]["peak"])
    lines = [
        f"{found['parameters']:,} parameters, {found['flops_per_step']:,} FLOPs a step, {peak}",
        f"{found['total_steps']:,} steps, {found['steps_per_epoch']:,} an epoch",
    ]
    return "\n".join(lines + [f"warning: {w['detail']}" for w in found.get("warnings", [])])


def _explained(found: Json) -> list[Any]:
    """Passes, kernels and totals of a compiled step."""
    stages = [(s["name"], f"{s['nodes']:,}", f"{s['constants']:,}") for s in found["stages"]]
    kernels = [
        (
            k["index"],
            k["name"],
            k["runs_as"],
            ", ".join(k["outputs"]),
            f"{k['flops']:,}",
            k["module"],
        )
        for k in found["kernels"]
    ]
    columns = ("kernel", "operation", "runs as", "makes", "FLOPs", "module")
    lines = [f"{name.replace('_', ' ')}: {value:,}" for name, value in found["totals"].items()]
    lines += [
        f"{count:,} {name} are not listed" for name, count in found["left_out"].items() if count
    ]
    return [
        table("passes", ("pass", "nodes", "constants"), stages),
        table("kernels", columns, kernels),
        "\n".join(lines),
    ]


def _followed_logs(client: Client, job_id: str) -> Iterator[Json]:
    for event in client.jobs.follow(job_id):
        if event["type"] == "log":
            yield {"at": event["at"], **event["data"]}


def _exit_as(job: Json) -> None:
    if job["is_terminal"] and job["state"] != "succeeded":
        raise typer.Exit(1)
