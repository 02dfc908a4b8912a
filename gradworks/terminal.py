"""A job as a person sees it: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from gradworks.jobs import Jobs

Json = dict[str, Any]
_POLL_SECONDS = 0.5
_SHOWN_METRICS = ("train/loss", "validation/loss", "validation/accuracy", "test/accuracy")


def watch(jobs: Jobs, job_id: str, console: Console) -> Json:
    """Show the job until it has ended; returns it as it ended."""
    show = _watch_live if console.is_terminal else _watch_plain
    return show(jobs, job_id, console)


def describe(job: Json) -> str:
    """The figures of a job in one line."""
    metrics, progress = job.get("metrics") or {}, job.get("progress") or {}
    parts = [f"{name} {_figure(metrics[name])}" for name in _SHOWN_METRICS if name in metrics]
    if (rate := progress.get("examples_per_second")) is not None:
        parts.append(f"{rate:,.0f} examples/s")
    if (left := progress.get("eta_seconds")) is not None and not job["is_terminal"]:
        parts.append(f"{_clock(left)} left")
    return "  ".join(parts)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """Rows for people; ids, which people copy, are never cut."""
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        made.add_column(column, no_wrap=column == "id")
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    return made


def size(count: float) -> str:
    """Bytes for people: 1536 is 1.5 KiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _watch_live(jobs: Jobs, job_id: str, console: Console) -> Json:
    columns = (
        TextColumn("{task.fields[state]:<10}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console, refresh_per_second=8) as bar:
        task = bar.add_task("job", total=None, state="queued", figures="")
        while True:
            job = jobs.get(job_id)
            _draw(bar, task, job)
            if job["is_terminal"]:
                return job
            time.sleep(_POLL_SECONDS)


def _draw(bar: Progress, task: TaskID, job: Json) -> None:
    progress = job.get("progress") or {}
    bar.update(
        task,
        completed=progress.get("step") or 0,
        total=progress.get("total_steps"),
        state=job["state"],
        figures=describe(job),
    )


def _watch_plain(jobs: Jobs, job_id: str, console: Console) -> Json:
    """A line whenever the state or the epoch changes, and at the latest every ten seconds."""
    shown: Any = None
    spoken = 0.0
    while True:
        job = jobs.get(job_id)
        progress = job.get("progress") or {}
        now = (job["state"], progress.get("epoch"))
        if now != shown or time.monotonic() - spoken > 10:
            shown, spoken = now, time.monotonic()
            steps = f"step {progress.get('step') or 0}/{progress.get('total_steps') or '?'}"
            console.print(
                f"{job['state']:<10} {steps:<16} {describe(job)}".rstrip(), soft_wrap=True
            )
        if job["is_terminal"]:
            return job
        time.sleep(_POLL_SECONDS)


def _figure(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("nonfinite"))
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
