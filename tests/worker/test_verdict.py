import signal

import pytest

from core.states import Reason
from worker.verdict import Action, Ending, Exit, Stop, judge


def ending(code, stop=None, *, steps=3, oom_killed=False, tail=""):
    return Ending(code=code, stop=stop, steps=steps, oom_killed=oom_killed, tail=tail)


@pytest.mark.parametrize(
    ("seen", "action", "reason", "counted"),
    [
        (ending(Exit.LEASE_LOST), Action.NOTHING, None, True),
        (ending(Exit.WRITTEN, Stop.ENDED), Action.NOTHING, None, True),
        (ending(Exit.DRAINED), Action.REQUEUE, Reason.PREEMPTED, False),
        (ending(Exit.DRAINED, Stop.DRAIN), Action.REQUEUE, Reason.PREEMPTED, False),
        (ending(-signal.SIGKILL, Stop.DRAIN), Action.REQUEUE, Reason.PREEMPTED, False),
        (ending(-signal.SIGKILL, Stop.WISH), Action.REQUEUE, Reason.PREEMPTED, False),
        (ending(-signal.SIGKILL, Stop.STALLED), Action.REQUEUE, Reason.STALLED, True),
        (ending(Exit.DRAINED, Stop.MAX_RUNTIME), Action.FAIL, Reason.MAX_RUNTIME, True),
        (ending(-signal.SIGKILL), Action.REQUEUE, Reason.WORKER_LOST, True),
        (ending(-signal.SIGKILL, oom_killed=True), Action.REQUEUE, Reason.OOM, True),
        (ending(-signal.SIGKILL, oom_killed=True, steps=0), Action.FAIL, Reason.OOM, True),
        (ending(-signal.SIGSEGV), Action.REQUEUE, Reason.ERROR, True),
        (ending(1), Action.REQUEUE, Reason.ERROR, True),
        (ending(Exit.WRITTEN), Action.REQUEUE, Reason.ERROR, True),
    ],
)
def test_what_an_end_means(seen, action, reason, counted):
    verdict = judge(seen)

    assert (verdict.action, verdict.reason, verdict.counted) == (action, reason, counted)


def test_a_crash_names_its_signal_and_shows_the_last_words():
    verdict = judge(ending(-signal.SIGSEGV, tail="Fatal Python error"))

    assert verdict.error == {
        "code": "crashed",
        "detail": "the job's process ended with SIGSEGV",
        "output": "Fatal Python error",
    }
