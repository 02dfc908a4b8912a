"""What a running attempt has come to: metrics, events and checkpoint, all or nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from core.errors import Conflict
from core.ids import new_id
from store import checkpoints, events as event_rows, metrics as metric_rows
from store.base import finite
from store.blobs import BlobRef
from store.leases import QUIET, Claim, hold
from store.metrics import Point
from store.tables import Checkpoint, Event, Job


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint whose bytes are stored, and which a commit makes part of the job."""

    blob: BlobRef
    manifest: dict[str, Any]


def commit(
    session: Session,
    claim: Claim,
    *,
    step: int,
    epoch: int,
    metrics: Iterable[Point] = (),
    events: Iterable[dict[str, Any]] = (),
    checkpoint: CheckpointRef | None = None,
    progress: dict[str, Any] | None = None,
    number: int | None = None,
    keep: int | None = None,
) -> bool:
    """Write down where the attempt is. Raises LeaseLost, and then nothing is written.

    `number` counts the commits of the attempt from 1: one that is in the database already (its
    answer was lost) is not written again, and False is returned. A checkpoint must be of a later
    step than the last; all but the newest `keep` are forgotten.
    """
    points, added = list(metrics), list(events)
    row = hold(session, claim, {}, (Job.commits, Job.events, Job.summary, Job.checkpoint_step))
    if number is not None and number <= row.commits:
        return False
    values: dict[str, Any] = {"step": step, "epoch": epoch, "commits": number or row.commits + 1}
    if points:
        newest = {point.name: point.value for point in sorted(points, key=lambda one: one.step)}
        values["summary"] = {**row.summary, **finite(newest)}
        metric_rows.write(session, claim.job_id, points)
    if progress is not None:
        values["progress"] = progress
    if checkpoint is not None:
        _add_checkpoint(session, claim, checkpoint, step, epoch, row.checkpoint_step)
        values |= {"checkpoint_step": step, "checkpoint_fence": claim.fence, "barren_attempts": 0}
    event_rows.write(session, claim.job_id, row.events + 1, added)
    values["events"] = row.events + len(added)
    _update(session, claim.job_id, values)
    if keep is not None:
        checkpoints.prune(session, claim.job_id, keep=keep)
    return True


def rewind(session: Session, claim: Claim, *, step: int | None) -> int:
    """Make the job what it was after `step` (None: at its start), as an attempt resumes there.

    Later metrics and checkpoints go, and later events are marked, so that the series come out as
    those of a run that was never broken. Returns how many points went. Raises LeaseLost.
    """
    bound = -1 if step is None else step
    row = hold(session, claim, {}, (Job.events,))
    dropped = metric_rows.drop_after(session, claim.job_id, bound)
    marked = _supersede(session, claim.job_id, bound)
    checkpoints.drop_after(session, claim.job_id, bound)
    kept = checkpoints.latest(session, claim.job_id)
    newest = metric_rows.latest(session, claim.job_id)
    values = {
        "step": max(0, bound),
        "epoch": kept.epoch if kept else 0,
        "summary": finite({name: point.value for name, point in newest.items()}),
        "checkpoint_step": kept.step if kept else None,
        "checkpoint_fence": kept.fence if kept else None,
    }
    if dropped or marked:
        event = {"type": "rewind", "data": {"to_step": step, "attempt": claim.attempt}}
        event_rows.write(session, claim.job_id, row.events + 1, [event])
        values["events"] = row.events + 1
    _update(session, claim.job_id, values)
    return dropped


def _add_checkpoint(
    session: Session,
    claim: Claim,
    checkpoint: CheckpointRef,
    step: int,
    epoch: int,
    last: int | None,
) -> None:
    if last is not None and step <= last:
        raise Conflict(f"job {claim.job_id} has a checkpoint of step {last}: {step} is not later")
    session.add(
        Checkpoint(
            id=new_id("ckp"),
            job_id=claim.job_id,
            step=step,
            epoch=epoch,
            attempt=claim.attempt,
            fence=claim.fence,
            sha256=checkpoint.blob.sha256,
            bytes=checkpoint.blob.bytes,
            manifest=checkpoint.manifest,
        )
    )
    session.flush()


def _supersede(session: Session, job_id: str, step: int) -> int:
    later = [Event.job_id == job_id, Event.step > step, Event.superseded.is_(False)]
    marked = update(Event).where(*later).values(superseded=True).returning(Event.seq)
    return len(session.execute(marked, execution_options=QUIET).all())


def _update(session: Session, job_id: str, values: dict[str, Any]) -> None:
    session.execute(update(Job).where(Job.id == job_id).values(**values), execution_options=QUIET)
