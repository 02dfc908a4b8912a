"""The supervisor's side of a zygote: job processes that need not import anything."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from worker.processes import Handle

ZYGOTE = (sys.executable, "-m", "worker.zygote")
START_SECONDS = 120.0  # it imports a lot, maybe on a busy machine


class NoZygote(RuntimeError):
    """It has died, or does not answer."""


class Forks:
    """Starts a zygote, and job processes through it. Use from a thread that lives on."""

    def __init__(self, command: Sequence[str] = ZYGOTE) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*command, "--channel", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        self._number = 0
        self._started: dict[int, int] = {}
        self._ended: dict[int, int] = {}
        self._gone = False
        self._changed = threading.Condition()
        threading.Thread(target=self._listen, name="forks", daemon=True).start()

    @property
    def gone(self) -> bool:
        return self._gone

    def spawn(self, stdin: int, stdout: int, page: int) -> Handle:
        """A fork with these descriptors. Raises NoZygote."""
        self._number += 1
        number = self._number
        try:
            socket.send_fds(
                self._channel, [json.dumps({"number": number}).encode()], [stdin, stdout, page]
            )
        except OSError as error:
            raise NoZygote(str(error)) from error
        with self._changed:
            self._changed.wait_for(lambda: self._gone or number in self._started, START_SECONDS)
            if number not in self._started:
                raise NoZygote("the zygote died" if self._gone else "the zygote does not answer")
            return Forked(self, self._started.pop(number))

    def code(self, pid: int, timeout: float | None = 0) -> int | None:
        """The exit code of a fork; None while it runs, for at most `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._gone or pid in self._ended, timeout)
            if pid in self._ended:
                return self._ended[pid]
        return -signal.SIGKILL if self._gone and not _wait_gone(pid, timeout) else None

    def close(self) -> None:
        """End the zygote; what it forked ends with it."""
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._channel.close()

    def _listen(self) -> None:
        with suppress(OSError), self._channel.makefile("rb") as lines:
            for line in lines:
                self._hear(json.loads(line))
        with self._changed:
            self._gone = True
            self._changed.notify_all()

    def _hear(self, document: dict[str, int]) -> None:
        with self._changed:
            if "ended" in document:
                self._ended[document["ended"]] = document["code"]
            else:
                self._ended.pop(document["pid"], None)  # of a namesake of old
                self._started[document["number"]] = document["pid"]
            self._changed.notify_all()


class Forked:
    """A process that a zygote forked."""

    def __init__(self, forks: Forks, pid: int) -> None:
        self._forks, self.pid = forks, pid

    def poll(self) -> int | None:
        return self._forks.code(self.pid)

    def wait(self, timeout: float | None = None) -> int | None:
        return self._forks.code(self.pid, timeout)

    def signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _wait_gone(pid: int, timeout: float | None) -> bool:
    """Whether a process whose parent has died is still there after the timeout."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        if deadline is not None and time.monotonic() >= deadline:
            return True
        time.sleep(0.01)
