"""One real job from end to end: start the service, upload, train, download, predict, stop.

The data are scikit-learn's handwritten digits: 1,797 scans of 8 × 8 pixels. Progress goes to
stderr; the last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from gradworks.client import Client
from gradworks.errors import GradworksError
from gradworks.service import Service
from gradworks.terminal import size, watch

Json = dict[str, Any]
_HELD_OUT = 5

SPEC: Json = {
    "name": "digits",
    "data": {
        "dataset": "digits",
        "inputs": {
            "image": {"type": "image", "columns": "pixel_*", "shape": [1, 8, 8], "scale": 16}
        },
        "target": {"column": "digit", "type": "category"},
        "split": {"train": 0.8, "validation": 0.1, "test": 0.1, "stratify": True},
    },
    "model": {"blueprint": {"name": "convnet", "channels": [32, 64], "hidden": 128}},
    "train": {
        "optimizer": {"name": "adamw", "lr": 0.002, "weight_decay": 0.01},
        "schedule": {"name": "cosine"},
        "epochs": 15,
        "batch_size": 64,
        "seed": 0,
    },
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--output", type=Path, default=Path("demo-output"))
    console = Console(stderr=True, highlight=False)
    try:
        result = run(arguments.parse_args().output.absolute(), console)
    except GradworksError as error:
        console.print(f"error: {error}", style="red", markup=False)
        sys.exit(error.exit_code)
    sys.stdout.write(json.dumps(result) + "\n")


def run(output: Path, console: Console) -> Json:
    """The whole demonstration; what it made stays under `output`, the service's logs on failure."""
    output.mkdir(parents=True, exist_ok=True)
    held_out = write_digits(output / "digits.csv", hold_out=_HELD_OUT)
    console.print("starting the service …")
    folder = output / "service"
    shutil.rmtree(folder, ignore_errors=True)
    with Service(folder) as service:
        console.print(f"it runs at {service.url}")
        with Client(service.url, api_key=str(service.key)) as client:
            job = _train(client, output, console)
            files = client.models.files(job["model_id"])
            paths = client.models.download(job["model_id"], output / "model")
            _show_files(console, paths, files)
            _show_predictions(console, client, job["model_id"], held_out)
            seconds = _seconds(client, job)
        console.print("stopping the service …")
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "job": job["id"],
        "state": job["state"],
        "metrics": job["metrics"],
        "files": [{key: file[key] for key in ("name", "sha256", "bytes")} for file in files],
        "seconds": seconds,
    }


def write_digits(path: Path, *, hold_out: int) -> list[tuple[str, Json]]:
    """Write the digits as CSV but for the last `hold_out`, which are returned with their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    names = [f"pixel_{n}" for n in range(digits.data.shape[1])]
    rows = [list(map(int, row)) for row in digits.data]
    labels = [int(label) for label in digits.target]
    kept = len(rows) - hold_out
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "digit"])
        writer.writerows([*row, label] for row, label in zip(rows[:kept], labels, strict=False))
    last = zip(rows[kept:], labels[kept:], strict=True)
    return [(str(label), dict(zip(names, row, strict=True))) for row, label in last]


def _train(client: Client, output: Path, console: Console) -> Json:
    dataset = client.datasets.upload("digits", [output / "digits.csv"])
    rows, columns = dataset["version"]["rows"], len(dataset["version"]["columns"])
    console.print(f"uploaded digits: {rows:,} rows, {columns} columns")
    job = client.jobs.submit(SPEC)
    console.print(f"submitted {job['id']}")
    job = watch(client.jobs, job["id"], console)
    if job["state"] != "succeeded":
        raise GradworksError(f"the job {job['state']}: {job.get('error') or job.get('reason')}")
    return job


def _show_files(console: Console, paths: list[Path], files: list[Json]) -> None:
    console.print("model files, sha256 checked:")
    for path, file in zip(paths, files, strict=True):
        console.print(f"  {path}  {size(file['bytes'])}  {file['sha256'][:16]}…", soft_wrap=True)


def _show_predictions(
    console: Console, client: Client, model_id: str, held_out: list[tuple[str, Json]]
) -> None:
    predictions = client.models.predict(model_id, [row for _, row in held_out])
    console.print("rows it has never seen:")
    for (label, _), prediction in zip(held_out, predictions, strict=True):
        sure = max(prediction["probabilities"].values())
        console.print(f"  a {label} was read as {prediction['label']} ({sure:.1%} sure)")


def _seconds(client: Client, job: Json) -> Json:
    """How long it took from the submission to the first step, and from there to the end."""
    events = client.jobs.events(job["id"], limit=1000)
    first = next(event["at"] for event in events if event["type"] == "first_step")
    created, ended = (_time(job[name]) for name in ("created_at", "finished_at"))
    return {
        "submit_to_first_step": round(_time(first) - created, 3),
        "train": round(ended - _time(first), 3),
    }


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    main()
