"""Real jobs for tests: a small table that can be learned, a spec for it, and what came of it."""

import hashlib
import json
from typing import Any

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from spec import jobs as specs
from store import artifacts, blobs, jobs, metrics
from tests import factories

ROWS = 600


def table(rows: int = ROWS) -> bytes:
    """A CSV with four numbers, a category and a label that follows from them."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, 4))
    kind = draw.integers(0, 3, rows)
    label = (x[:, 0] * x[:, 1] + x[:, 2] > 0.3 * (kind - 1)).astype(int)
    lines = ["a,b,c,d,kind,label"]
    lines += [
        ",".join([*(f"{value:.6f}" for value in x[i]), "uvw"[kind[i]], ("no", "yes")[label[i]]])
        for i in range(rows)
    ]
    return "\n".join(lines).encode() + b"\n"


def document(**changes: Any) -> dict[str, Any]:
    """A spec for the table; keys such as `train` are merged into it."""
    found: dict[str, Any] = {
        "name": "table",
        "data": {
            "dataset": "table",
            "inputs": {
                **{name: {"type": "number", "column": name} for name in "abcd"},
                "kind": {"type": "category", "column": "kind"},
            },
            "target": {"type": "category", "column": "label"},
            "split": {"train": 0.7, "validation": 0.15, "test": 0.15},
        },
        "model": {"blueprint": {"name": "mlp", "hidden": [32, 32], "dropout": 0.1}},
        "train": {
            "epochs": 4,
            "batch_size": 30,
            "checkpoint": {"every_seconds": 0.2, "every_epochs": 1, "keep": 2},
        },
    }
    for key, value in changes.items():
        found[key] = {**found[key], **value} if isinstance(found.get(key), dict) else value
    return found


def long_document(epochs: int) -> dict[str, Any]:
    """A spec to be interrupted: many epochs, checkpoints a few times a second."""
    return document(
        model={"blueprint": {"name": "mlp", "hidden": [256, 256], "dropout": 0.1}},
        train={
            "epochs": epochs,
            "early_stopping": {"metric": "validation/loss", "patience": epochs},
        },
    )


def submit(sessions: sessionmaker[Session], wanted: dict[str, Any], data: bytes | None = None):
    """A queued job on a dataset of its own."""
    with sessions.begin() as session:
        version = factories.dataset_version(session, data or table())
        spec = specs.parse(wanted).document()
        return factories.job(
            session,
            spec=spec,
            name=spec["name"],
            dataset_version_id=version.id,
            max_attempts=spec["resources"]["max_attempts"],
            priority=spec["resources"]["priority"],
        ).id


def weights_sha256(sessions: sessionmaker[Session], job_id: str) -> str:
    """The sha256 of the weights themselves, read back from the store."""
    return hashlib.sha256(file(sessions, job_id, "model.safetensors")).hexdigest()


def file(sessions: sessionmaker[Session], job_id: str, name: str) -> bytes:
    with sessions() as session:
        return b"".join(blobs.read(session, artifacts.get(session, job_id, name).sha256))


def manifest(sessions: sessionmaker[Session], job_id: str) -> dict[str, Any]:
    return json.loads(file(sessions, job_id, "manifest.json"))


def series(sessions: sessionmaker[Session], job_id: str) -> dict[str, list[tuple[int, int, float]]]:
    """All that a job measured, but for how fast it was."""
    with sessions() as session:
        found = metrics.series(session, job_id, max_points=10**6)
    return {
        name: [(point.step, point.epoch, point.value) for point in points]
        for name, points in found.items()
        if name != "train/examples_per_second"
    }


def state(sessions: sessionmaker[Session], job_id: str) -> str:
    with sessions() as session:
        return jobs.load(session, job_id).state.value


def outcome(sessions: sessionmaker[Session], job_id: str) -> dict[str, Any]:
    """All of a job that no interruption may change."""
    with sessions() as session:
        summary = dict(jobs.load(session, job_id).summary)
    summary.pop("train/examples_per_second", None)
    return {
        "weights": weights_sha256(sessions, job_id),
        "series": series(sessions, job_id),
        "summary": summary,
    }


def assert_like(sessions: sessionmaker[Session], job_id: str, reference: dict[str, Any]) -> None:
    """That the job ended as one did that nothing interrupted."""
    found = outcome(sessions, job_id)
    assert found["weights"] == reference["weights"]
    assert found["series"] == reference["series"]
    assert found["summary"] == reference["summary"]
