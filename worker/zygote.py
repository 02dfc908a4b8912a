"""A process that has imported all that a job needs and trains nothing: it forks job processes.

`python -m worker.zygote` is started by a supervisor. It has one thread, no connection and no CUDA
context, so a fork of it is as good as a new interpreter, and ready in milliseconds.
"""

import argparse
import gc
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from worker import lifeline
from worker.handover import Handover
from worker.pulse import Pulse
from worker.runner import fall, leave, work

MESSAGE_BYTES = 4096


class Zygote:
    """Requests come with (stdin, stdout, pulse) as descriptors; starts and ends are told."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._aside: set[int] = set()
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    self._woken.recv(MESSAGE_BYTES)
                    self._reap()
                if self._channel in ready and not self._answer():
                    return

    def aside(self, task: Callable[[], object]) -> None:
        """Do something in a process of its own that gives way to jobs; how it ends is not told."""
        me, pid = os.getpid(), os.fork()
        if pid:
            self._aside.add(pid)
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        lifeline.tie(signal.SIGKILL)
        if os.getppid() == me:
            os.nice(10)
            with suppress(Exception):
                task()
        leave(0)

    def _answer(self) -> bool:
        message, fds, _, _ = socket.recv_fds(self._channel, MESSAGE_BYTES, 3)
        if not message:
            return False
        number = json.loads(message)["number"]
        me, pid = os.getpid(), os.fork()
        if pid == 0:
            self._become(me, *fds)
        with suppress(OSError):
            os.setpgid(pid, pid)  # here as well: the supervisor may kill the group at once
        for fd in fds:
            os.close(fd)
        self._say({"number": number, "pid": pid})
        return True

    def _become(self, parent: int, stdin: int, stdout: int, page: int) -> NoReturn:
        """The rest of a new process's life."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        lifeline.tie(signal.SIGKILL)
        if os.getppid() != parent:
            leave(1)
        for old, new in ((stdin, 0), (stdout, 1), (stdout, 2)):
            os.dup2(old, new)
        for one in (self._channel, self._woken, self._waker):
            one.close()
        os.close(stdin)
        os.close(stdout)
        leave(work(Handover(Pulse(page))))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._aside:
                self._aside.remove(pid)
                continue
            self._say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})

    def _say(self, document: dict[str, Any]) -> None:
        self._channel.sendall(json.dumps(document).encode() + b"\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="worker.zygote")
    parser.add_argument("--channel", type=int, required=True)
    given = parser.parse_args(arguments)
    lifeline.tie(signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the supervisor says when it is over
    import worker.job  # noqa: F401 - what the forks will need
    from engine.backend.cpu import toolchain
    from engine.errors import EngineError

    # What is loaded by now stays: no collection of a fork looks at it, or copies its pages.
    gc.collect()
    gc.freeze()
    zygote = Zygote(socket.socket(fileno=given.channel))
    with suppress(EngineError):  # a job will tell what is wrong with the compiler
        chain = toolchain.find()
        if chain is not None:
            zygote.aside(partial(toolchain.prepare, chain))
    zygote.serve()


if __name__ == "__main__":
    sys.excepthook = fall
    main()
    leave(0)
