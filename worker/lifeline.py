"""Ties a process to its parent, so that nothing is left training when a supervisor dies."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie(number: signal.Signals) -> None:
    """Ask the kernel to send `number` to this process when its parent dies (Linux only).

    The kernel watches the thread that started this process: start children from a thread
    that lives as long as they should. Elsewhere the end of standard input says the same.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
