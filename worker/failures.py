"""What an exception in a job means: a reason, and an error that its owner can act on."""

import errno
import traceback
from dataclasses import dataclass
from typing import Any

from core.errors import AppError, Damaged, Invalid, StorageFull
from core.logging import redact
from core.states import Reason
from worker.cache import CorruptBlob
from worker.loop import NonFinite

TRACEBACK_CHARACTERS = 4_000
FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Failure:
    reason: Reason
    error: dict[str, Any]


def explain(error: BaseException, *, checkpoint_step: int | None) -> Failure:
    """Why a job ended. `checkpoint_step` is that of its last good checkpoint."""
    if isinstance(error, Invalid):
        return _invalid(error)
    if isinstance(error, NonFinite):
        hint = "lower the learning rate, or set clip_norm"
        where = {"step": error.step, "checkpoint_step": checkpoint_step}
        return Failure(Reason.NONFINITE, _document("nonfinite", str(error), hint=hint, **where))
    if isinstance(error, MemoryError):
        detail = f"not enough memory: {error}" if str(error) else "not enough memory"
        hint = "use a smaller batch_size or accumulate, or a machine with more memory"
        return Failure(Reason.OOM, _document("oom", detail, hint=hint))
    if isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in FULL):
        hint = "make room, then resume the job"
        return Failure(Reason.STORAGE, _document("storage_full", str(error), hint=hint))
    if isinstance(error, Damaged | CorruptBlob):
        hint = "upload the data again as a new version"
        return Failure(Reason.BAD_DATA, _document("damaged", str(error), hint=hint))
    code = error.code if isinstance(error, AppError) else "error"
    detail = f"{type(error).__name__}: {error}"
    return Failure(Reason.ERROR, _document(code, detail, traceback=_tail(error)))


def _invalid(error: Invalid) -> Failure:
    problems = [problem.as_dict() for problem in error.problems]
    of_data = all(problem.pointer.startswith("/files") for problem in error.problems)
    reason = Reason.BAD_DATA if of_data else Reason.BAD_SPEC
    return Failure(reason, _document(reason.value, error.detail, problems=problems))


def _document(code: str, detail: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "detail": redact(detail), **more}


def _tail(error: BaseException) -> str:
    return redact("".join(traceback.format_exception(error)))[-TRACEBACK_CHARACTERS:]
