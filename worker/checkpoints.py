"""Going on from the newest checkpoint whose bytes are what was written."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from core.errors import Damaged, Invalid, NotFound
from engine.errors import EngineError
from engine.io import checkpoint
from store import blobs, checkpoints, events, progress
from store.jobs import Claim
from store.tables import Checkpoint
from worker.database import Database
from worker.progress import persist

log = logging.getLogger(__name__)

Arrays = dict[str, Any]


def resume(
    database: Database, claim: Claim, restore: Callable[[Arrays, dict[str, Any]], None]
) -> None:
    """Go on from the newest checkpoint that `restore` takes, or from the start; so does the row.

    What cannot be used is passed over, and the job's events say so. Raises LeaseLost.
    """
    kept = None
    damaged = []
    for candidate in persist(partial(_list, database, claim.job_id)):
        try:
            restore(*persist(partial(_load, database, candidate)))
        except (Damaged, NotFound, Invalid, EngineError) as error:
            log.warning("the checkpoint of step %s cannot be used: %s", candidate.step, error)
            damaged.append({"at_step": candidate.step, "detail": str(error)})
        else:
            kept = candidate.step
            break
    persist(partial(_rewind, database, claim, kept, damaged))


def _list(database: Database, job_id: str) -> list[Checkpoint]:
    with database.read() as session:
        return checkpoints.list_(session, job_id)


def _load(database: Database, candidate: Checkpoint) -> tuple[Arrays, dict[str, Any]]:
    data = b"".join(blobs.stream(database.read, candidate.sha256))
    return checkpoint.loads(data)


def _rewind(
    database: Database, claim: Claim, step: int | None, damaged: list[dict[str, Any]]
) -> None:
    with database.write.begin() as session:
        progress.rewind(session, claim, step=step)
        told = [{"type": "checkpoint_damaged", "data": one} for one in damaged]
        if step is not None:
            told.append({"type": "resumed", "data": {"from_step": step, "attempt": claim.attempt}})
        if told:
            events.extend(session, claim.job_id, told)
