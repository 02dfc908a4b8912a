"""What the end of a job's process means for the job."""

import signal
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

from core.states import Reason


class Exit(IntEnum):
    """How a job process says what became of its job; anything else is a crash."""

    WRITTEN = 0  # the row says it: succeeded, or failed for a reason that would come again
    LEASE_LOST = 74
    DRAINED = 75  # told to stop, and stopped


class Stop(StrEnum):
    """Why a supervisor told a process to stop."""

    DRAIN = "drain"
    WISH = "wish"  # a user's: cancel or pause
    MAX_RUNTIME = "max_runtime"
    STALLED = "stalled"
    ENDED = "ended"  # the row has come to its end


class Action(StrEnum):
    NOTHING = "nothing"
    REQUEUE = "requeue"
    FAIL = "fail"


@dataclass(frozen=True)
class Verdict:
    action: Action
    reason: Reason | None = None
    error: dict[str, Any] | None = None
    counted: bool = True


@dataclass(frozen=True)
class Ending:
    """What the supervisor saw of a process that has ended."""

    code: int
    stop: Stop | None
    steps: int  # made in this attempt
    oom_killed: bool
    tail: str  # the last lines printed


def judge(ending: Ending) -> Verdict:
    """Whether the job goes on, and whose fault the end was."""
    if ending.code == Exit.LEASE_LOST or ending.stop is Stop.ENDED:
        return Verdict(Action.NOTHING)
    if ending.stop is Stop.MAX_RUNTIME:
        return Verdict(Action.FAIL, Reason.MAX_RUNTIME, _error("max_runtime", "it ran too long"))
    if ending.stop is Stop.STALLED:
        detail = f"no progress after step {ending.steps} of this attempt"
        return Verdict(Action.REQUEUE, Reason.STALLED, _error("stalled", detail))
    if ending.stop is not None or ending.code == Exit.DRAINED:
        return Verdict(Action.REQUEUE, Reason.PREEMPTED, counted=False)
    return _crash(ending)


def _crash(ending: Ending) -> Verdict:
    if ending.oom_killed:
        error = _error("oom", "the machine ran out of memory and the kernel killed the job")
        action = Action.REQUEUE if ending.steps else Action.FAIL
        return Verdict(action, Reason.OOM, error)
    if ending.code == -signal.SIGKILL:
        return Verdict(Action.REQUEUE, Reason.WORKER_LOST)
    how = _signal_name(-ending.code) if ending.code < 0 else f"exit code {ending.code}"
    detail = f"the job's process ended with {how}"
    return Verdict(Action.REQUEUE, Reason.ERROR, _error("crashed", detail, output=ending.tail))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _error(code: str, detail: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "detail": detail, **more}


def oom_kills() -> int:
    """How many processes the kernel has killed for memory on this machine; 0 where unknown."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
