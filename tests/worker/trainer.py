"""A job process without an engine: its training is a chain of hashes, so any lost step shows.

The spec's `trainer` says how many `steps` of how many `seconds`, how often there is a checkpoint,
and what it does at which step: kill itself, hang, exit, print, be deaf to SIGTERM.
"""

import hashlib
import os
import signal
import sys
import time
from functools import partial
from typing import Any

from pydantic import SecretStr

from core.settings import Settings
from store import blobs, checkpoints, jobs
from store.jobs import Claim
from store.progress import rewind
from worker.database import Database
from worker.handover import Handover
from worker.progress import Progress, persist
from worker.verdict import Exit


def main() -> int:
    handover = Handover.accept()
    database = Database(Settings(secret=SecretStr("none"), **handover.settings).database_url)
    given = handover.claim()
    if given is None:
        return 0
    with database.read() as session:
        job = jobs.load(session, given["job_id"])
    return train(handover, database, Claim(**given, spec=job.spec, plan=job.plan))


def train(handover: Handover, database: Database, claim: Claim) -> int:
    wanted: dict[str, Any] = claim.spec["trainer"]
    with database.write.begin() as session:
        kept = checkpoints.latest(session, claim.job_id)
        state = b"".join(blobs.read(session, kept.sha256)) if kept else b""
        first = kept.step if kept else 0
        rewind(session, claim, step=kept.step if kept else None)
    progress = Progress(database, claim, on_lost=lambda: os._exit(Exit.LEASE_LOST))
    for step in range(first + 1, wanted["steps"] + 1):
        misbehave(wanted, step, claim)
        state = hashlib.sha256(state + step.to_bytes(8, "little")).digest()
        time.sleep(wanted.get("seconds", 0.0))
        handover.pulse.beat(step, wanted.get("seconds", 0.0))
        progress.at(step, 0)
        progress.metrics({"train/loss": 1 / step}, step=step, epoch=0)
        if step == 6:
            progress.hurry()
        if handover.told_to_stop or step % wanted.get("checkpoint_every", 5) == 0:
            progress.checkpoint(partial(list, [state]), {}, keep=2)
            progress.flush()
        if handover.told_to_stop and not wanted.get("deaf"):
            progress.close()
            return Exit.DRAINED
    progress.close()
    summary = {"digest": state.hex()}
    persist(lambda: finish(database, claim, summary, wanted["steps"]))
    return Exit.WRITTEN


def finish(database: Database, claim: Claim, summary: dict[str, Any], step: int) -> None:
    with database.write.begin() as session:
        jobs.finish(session, claim, summary=summary, step=step)


def misbehave(wanted: dict[str, Any], step: int, claim: Claim) -> None:
    act = wanted.get("acts", {}).get(str(step))
    if act is None or claim.attempt not in wanted.get("attempts", [claim.attempt]):
        return
    if act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif act == "hang":
        time.sleep(600)
    elif act == "slow":
        time.sleep(3)
    elif act == "exit":
        sys.stderr.write("Traceback: the trainer gave up\n")
        os._exit(3)
    elif act == "print":
        sys.stdout.write("hello from the trainer, key gw_0123456789ab_secret\n")
        sys.stdout.flush()


if __name__ == "__main__":
    os._exit(main())
