"""The end of a job that succeeded: its files, its model and its last state, all in one commit."""

import json
from functools import partial
from typing import Any

from core.errors import LeaseLost
from core.states import JobState, Reason
from spec.manifest import WEIGHTS, pack
from spec.training import Training
from store import artifacts, jobs, models
from store.base import dump
from store.blobs import BlobRef, Writer
from store.jobs import Claim
from worker.database import Database
from worker.progress import persist

MANIFEST = "manifest.json"


def publish(
    database: Database,
    claim: Claim,
    training: Training,
    metrics: dict[str, float],
    *,
    dataset: dict[str, Any],
    device: str,
) -> None:
    """Raises LeaseLost, and then nothing of it is visible. May be tried again and again."""
    manifest, weights = pack(training, metrics, dataset=dataset, device=device)
    text = json.dumps(manifest, indent=1, allow_nan=False).encode()
    stored = {
        WEIGHTS: persist(partial(_store, database, weights)),
        MANIFEST: persist(partial(_store, database, text)),
    }
    reason = Reason.EARLY_STOPPED if training.stopped else Reason.COMPLETED
    try:
        persist(partial(_finish, database, claim, stored, manifest, metrics, reason, training.step))
    except LeaseLost:
        if not _succeeded(database, claim):  # else the answer to the commit was lost, not the lease
            raise


def _store(database: Database, data: bytes) -> BlobRef:
    with Writer(database.write) as writer:
        writer.write(data)
        return writer.finish()


def _finish(
    database: Database,
    claim: Claim,
    stored: dict[str, BlobRef],
    manifest: dict[str, Any],
    metrics: dict[str, float],
    reason: Reason,
    step: int,
) -> None:
    types = {WEIGHTS: "application/octet-stream", MANIFEST: "application/json"}
    with database.write.begin() as session:
        for name, blob in stored.items():
            artifacts.add(session, claim, name=name, blob=blob, media_type=types[name])
        models.create(session, claim, name=claim.name, manifest=manifest, metrics=metrics)
        summary = json.loads(dump(metrics))
        jobs.finish(session, claim, reason=reason, summary=summary, step=step)


def _succeeded(database: Database, claim: Claim) -> bool:
    with database.read() as session:
        job = jobs.load(session, claim.job_id)
    return job.fence == claim.fence and job.state is JobState.SUCCEEDED
