"""What the service adds to the engine, measured on this machine.

    python -m benchmarks.service [latency] [polling] [overhead] [--json FILE]

latency   seconds from sending POST /v1/jobs to the end of the job's first training step
polling   GET /v1/jobs/{id} against two API processes, the load generator on the same cores
overhead  wall time of a job's training phase over that of the bare engine loop on the same work
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from benchmarks import load
from gradworks import Client
from gradworks.demo import SPEC, write_digits
from gradworks.service import Service

Row = dict[str, Any]
_POSTGRES = os.environ.get("GRADWORKS_BENCH_POSTGRES", "postgresql://127.0.0.1:5432/postgres")


def main() -> None:
    measures: dict[str, Callable[[], Row]] = {
        "latency": latency,
        "polling": polling,
        "overhead": overhead,
    }
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("measures", nargs="*", choices=[*measures, []], metavar="MEASURE")
    arguments.add_argument("--json", type=Path)
    chosen = arguments.parse_args()
    rows = []
    for name in chosen.measures or measures:
        rows.append({"name": name, **measures[name]()})
        print(json.dumps(rows[-1]), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


def machine() -> Row:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def latency(jobs: int = 12) -> Row:
    """Submit short jobs one after another to a warm worker."""
    with service() as (running, client), digits(client):
        spec = SPEC | {"train": SPEC["train"] | {"epochs": 1}}
        found = [submit_to_first_step(client, spec) for _ in range(jobs + 1)][1:]
        assert running.url
    return {
        "jobs": jobs,
        "median_seconds": round(statistics.median(found), 3),
        "max_seconds": round(max(found), 3),
        "promise": "median ≤ 0.5 s",
        "held": statistics.median(found) <= 0.5,
    }


def submit_to_first_step(client: Client, spec: Row) -> float:
    sent = time.time()
    job = client.jobs.submit(spec)
    client.jobs.wait(job["id"], poll=0.1, timeout=120)
    first = next(e for e in client.jobs.events(job["id"]) if e["type"] == "first_step")
    time.sleep(1.5)  # a new spare process stands by: that is what a warm worker means
    return datetime.fromisoformat(first["at"]).timestamp() - sent


def polling(seconds: float = 10.0, connections: int = 32) -> Row:
    """Poll one job for `seconds`, two API processes on PostgreSQL."""
    with (
        postgres_database() as url,
        service(api_processes=2, environment={"GRADWORKS_DATABASE_URL": url}) as (running, client),
        digits(client),
    ):
        job = client.jobs.submit(SPEC | {"train": SPEC["train"] | {"epochs": 1}})
        client.jobs.wait(job["id"], timeout=120)
        where = urlsplit(running.url)
        assert where.hostname is not None
        assert where.port is not None
        request = (
            f"GET /v1/jobs/{job['id']} HTTP/1.1\r\nHost: {where.netloc}\r\n"
            f"Authorization: Bearer {running.key}\r\n\r\n"
        ).encode()
        load.run(where.hostname, where.port, request, connections=connections, seconds=2)
        done = load.run(
            where.hostname, where.port, request, connections=connections, seconds=seconds
        )
    return {
        "requests_per_second": round(done.rate),
        "p50_ms": round(done.percentile(0.50), 2),
        "p99_ms": round(done.percentile(0.99), 2),
        "errors": done.errors,
        "promise": "≥ 5,000 a second, p99 < 25 ms, no errors",
        "held": done.rate >= 5000 and done.percentile(0.99) < 25 and not done.errors,
    }


def overhead(pairs: int = 3, target_seconds: float = 60.0) -> Row:
    """Alternate the bare loop and the job, the same spec and the same number of steps.

    Both run once before, so that neither compiles while it is measured. A machine that others use
    is a tenth faster in one minute than in the next: so there are several pairs, each side goes
    first in turn, and the figure is the median of their ratios.
    """
    with tempfile.TemporaryDirectory() as folder, service() as (_, client), digits(client):
        data = Path(folder) / "digits.csv"
        write_digits(data, hold_out=0)
        job_seconds(client, epochs=2)
        bare_seconds(data, epochs=2)
        probe = bare_seconds(data, epochs=100) / 100
        epochs = max(4, round(target_seconds / probe))
        bare: list[float] = []
        job: list[float] = []
        sides: list[Callable[[], None]] = [
            lambda: bare.append(bare_seconds(data, epochs=epochs)),
            lambda: job.append(job_seconds(client, epochs=epochs)),
        ]
        for _ in range(pairs):
            for side in sides:
                side()
            sides.reverse()
    ratios = [j / b for j, b in zip(job, bare, strict=True)]
    return {
        "epochs": epochs,
        "bare_seconds": [round(s, 2) for s in bare],
        "job_seconds": [round(s, 2) for s in job],
        "ratios": [round(one, 4) for one in ratios],
        "ratio": round(statistics.median(ratios), 4),
        "promise": "≤ 1.03",
        "held": statistics.median(ratios) <= 1.03,
    }


def bare_seconds(data: Path, *, epochs: int) -> float:
    """The engine alone, in a process of its own: no service, no database, no checkpoints."""
    command = [sys.executable, "-m", "benchmarks.bare", str(data), str(epochs)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=600)
    seconds: float = json.loads(done.stdout)["seconds"]
    return seconds


def job_seconds(client: Client, *, epochs: int) -> float:
    """From the end of a job's first step to the end of its last epoch, by its own events."""
    job = client.jobs.submit(SPEC | {"train": SPEC["train"] | {"epochs": epochs}})
    job = client.jobs.wait(job["id"], timeout=600)
    assert job["state"] == "succeeded", job
    events = client.jobs.events(job["id"], limit=1000)
    started = next(e["at"] for e in events if e["type"] == "first_step")
    ended = next(e["at"] for e in reversed(events) if e["type"] == "epoch")
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()


@contextlib.contextmanager
def service(**options: Any) -> Iterator[tuple[Service, Client]]:
    with (
        tempfile.TemporaryDirectory(prefix="gradworks-bench-") as folder,
        Service(folder, **options) as running,
        Client(running.url, api_key=str(running.key)) as client,
    ):
        yield running, client


@contextlib.contextmanager
def digits(client: Client) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.csv"
        write_digits(path, hold_out=0)
        client.datasets.upload("digits", [path])
        yield


@contextlib.contextmanager
def postgres_database() -> Iterator[str]:
    """An empty database for one run, dropped afterwards."""
    import psycopg

    name = f"gradworks_bench_{uuid4().hex[:8]}"
    with psycopg.connect(_POSTGRES, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{_POSTGRES.rsplit('/', 1)[0]}/{name}"
    finally:
        with psycopg.connect(_POSTGRES, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


if __name__ == "__main__":
    main()
