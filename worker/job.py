"""One job in its process: data, model, training, publication; and what becomes of its failures."""

import logging
import os
import platform
import sys
from functools import partial
from typing import Any, cast

from pydantic import SecretStr

from core.errors import BadTransition, Invalid, LeaseLost, Problem, StorageFull, Unavailable
from core.settings import Settings
from core.states import Reason
from spec import jobs as specs
from spec.build import build
from spec.data.formats import Format
from spec.data.limits import Limits as DataLimits
from spec.data.prepare import prepare
from spec.limits import Limits
from spec.training import Training
from store import checkpoints, jobs
from store.jobs import Claim
from worker import reserve
from worker.cache import Cache
from worker.checkpoints import resume
from worker.database import Database
from worker.datasets import LocalDataset, fetch
from worker.failures import Failure, explain
from worker.handover import Handover
from worker.loop import Drained, Loop
from worker.output import LOG_FORMAT
from worker.progress import Progress, ProgressHandler, persist
from worker.publication import publish
from worker.verdict import Exit

log = logging.getLogger(__name__)


class Job:
    """Made while the process stands by; `run` is called once."""

    def __init__(self, handover: Handover) -> None:
        logging.basicConfig(format=LOG_FORMAT, level=logging.INFO, stream=sys.stderr)
        self._handover = handover
        self._settings = Settings(secret=SecretStr("none here"), **handover.settings)
        self._database = Database(self._settings.database_url)
        self._cache = Cache(
            self._settings.data_dir / "cache" / "datasets",
            max_bytes=self._settings.dataset_cache_bytes,
        )
        persist(self._connect)

    def run(self, given: dict[str, Any]) -> Exit:
        """Train to an end, and say how the process should end. Failures are written to the row."""
        claim = self._read_claim(given)
        lost = partial(os._exit, Exit.LEASE_LOST)
        progress = Progress(self._database, claim, on_lost=lost)
        logging.getLogger().handlers = [ProgressHandler(progress)]
        try:
            training, dataset = self._prepare(claim)
            metrics = self._train(claim, training, progress)
            progress.close()
            publish(
                self._database,
                claim,
                training,
                metrics,
                dataset=dataset.document(),
                device=device_class(training),
            )
        except LeaseLost:
            return Exit.LEASE_LOST
        except Drained:
            return Exit.DRAINED
        except Exception as error:  # noqa: BLE001 - the one place: whatever a job does wrong
            return self._fail(claim, progress, error)
        return Exit.WRITTEN

    def _connect(self) -> None:
        with self._database.read() as session:
            jobs.waiting(session)

    def _read_claim(self, given: dict[str, Any]) -> Claim:
        def read() -> Claim:
            with self._database.read() as session:
                row = jobs.load(session, given["job_id"])
            return Claim(**given, spec=row.spec, plan=row.plan)

        return persist(read)

    def _moved(self) -> None:
        self._handover.pulse.beat(self._handover.pulse.read()[0])

    def _prepare(self, claim: Claim) -> tuple[Training, LocalDataset]:
        spec = specs.parse(claim.spec)
        if spec.resources.device == "cuda":
            raise Invalid([_no_cuda()])
        assert claim.dataset_version_id is not None
        dataset = fetch(self._database, self._cache, claim.dataset_version_id, moved=self._moved)
        self._moved()
        prepared = prepare(
            dataset.files,
            spec.data,
            seed=spec.train.seed,
            format=cast(Format, dataset.version.format),
            options=dataset.version.options,
            limits=DataLimits.of(self._settings),
        )
        self._moved()
        parts = {name: len(getattr(prepared, name)) for name in ("train", "validation", "test")}
        log.info("rows: %s", ", ".join(f"{count} {name}" for name, count in parts.items()))
        return build(spec, prepared, limits=Limits.of(self._settings)), dataset

    def _train(self, claim: Claim, training: Training, progress: Progress) -> dict[str, float]:
        loop = Loop(training, progress, self._handover)
        log.info("training on %s", device_class(training))
        resume(self._database, claim, loop.restore)
        return loop.run()

    def _fail(self, claim: Claim, progress: Progress, error: Exception) -> Exit:
        """Write down why. Where that is refused the claim is stale, and somebody else's."""
        try:
            step = persist(partial(self._checkpoint_step, claim))
            failure = explain(error, checkpoint_step=step)
            if not progress.ended:
                progress.event("log", level="error", message=_last_words(failure))
                progress.close()
            full = (Unavailable, StorageFull)
            persist(partial(self._write_failure, claim, failure), patient_with=full)
        except LeaseLost:
            return Exit.LEASE_LOST
        return Exit.WRITTEN

    def _checkpoint_step(self, claim: Claim) -> int | None:
        with self._database.read() as session:
            kept = checkpoints.latest(session, claim.job_id)
        return None if kept is None else kept.step

    def _write_failure(self, claim: Claim, failure: Failure) -> None:
        if failure.reason is Reason.STORAGE:
            reserve.release(self._settings.data_dir)
            self._database.empty_log()
        with self._database.write.begin() as session:
            if failure.reason is not Reason.STORAGE:
                jobs.fail(session, claim, reason=failure.reason, error=failure.error)
                return
            try:
                jobs.paused(session, claim, reason=failure.reason, error=failure.error)
            except BadTransition:  # it is being cancelled
                jobs.requeue(session, claim, reason=failure.reason, error=failure.error)


def device_class(training: Training) -> str:
    """Same class, same bits; another class may differ in the last of them."""
    return f"cpu {platform.machine()}, {training.backend}"


def _last_words(failure: Failure) -> str:
    return str(failure.error.get("traceback") or failure.error["detail"])


def _no_cuda() -> Problem:
    return Problem(
        "/resources/device",
        "no_device",
        "the worker that took this job has no CUDA device",
        expected="cpu or auto",
        got="cuda",
        hint="set device: auto, or start a worker on a machine with a GPU",
    )
