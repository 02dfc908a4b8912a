"""The life of a job: its states, the only moves between them, and why a move was made."""

from enum import StrEnum


class JobState(StrEnum):
    VALIDATING = "validating"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Reason(StrEnum):
    USER = "user"
    PREEMPTED = "preempted"
    WORKER_LOST = "worker_lost"
    OOM = "oom"
    NONFINITE = "nonfinite"
    EARLY_STOPPED = "early_stopped"
    MAX_RUNTIME = "max_runtime"
    BAD_SPEC = "bad_spec"
    BAD_DATA = "bad_data"
    STORAGE = "storage"
    STALLED = "stalled"
    ERROR = "error"
    COMPLETED = "completed"


_S = JobState

MOVES: dict[JobState, frozenset[JobState]] = {
    _S.VALIDATING: frozenset({_S.QUEUED, _S.FAILED, _S.CANCELLED}),
    _S.QUEUED: frozenset({_S.RUNNING, _S.PAUSED, _S.CANCELLED}),
    _S.RUNNING: frozenset(
        {_S.SUCCEEDED, _S.FAILED, _S.CANCELLING, _S.PAUSING, _S.PAUSED, _S.QUEUED}
    ),
    _S.PAUSING: frozenset({_S.PAUSED, _S.CANCELLING, _S.SUCCEEDED, _S.FAILED}),
    _S.PAUSED: frozenset({_S.QUEUED, _S.CANCELLED}),
    _S.CANCELLING: frozenset({_S.CANCELLED, _S.SUCCEEDED, _S.FAILED}),
    _S.CANCELLED: frozenset(),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset(),
}
TERMINAL = frozenset(state for state, moves in MOVES.items() if not moves)
# The states in which a worker holds the job under a lease.
HELD = (_S.RUNNING, _S.PAUSING, _S.CANCELLING)


def sources(to: JobState) -> list[JobState]:
    """The states from which `to` can be reached in one move."""
    return [state for state, moves in MOVES.items() if to in moves]
