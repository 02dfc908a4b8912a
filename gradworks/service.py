"""The whole service on this machine: broker, worker and API as child processes in one folder."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

import httpx2

from gradworks.errors import GradworksError

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_RESTARTS = 5  # of one process within a minute; then the service gives up


@dataclass
class _Child:
    """A process that is started again when it dies."""

    name: str
    command: list[str]
    fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    starts: list[float] = field(default_factory=list)


class Service:
    """Gradworks in one folder: `with Service(folder) as service: service.url`.

    Everything it knows lies under `folder`. `port` 0 takes a free one. `key` is the API key that
    was made on the first start; None later, when it is in `client.json` beside the data.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_processes: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(folder).absolute()
        self.url = ""
        self.key: str | None = None
        self._host, self._port, self._api_processes = host, port, api_processes
        self._environment = {**os.environ, **(environment or {})}
        self._children: list[_Child] = []
        self._open = contextlib.ExitStack()

    def start(self) -> Service:
        """Start every process and return once the API answers and a worker has reported."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop in the order that loses no work: API, worker (its job is checkpointed), broker."""
        for child in reversed(self._children):
            _stop(child)
        self._children.clear()
        self._open.close()

    def supervise(self) -> None:
        """Start again what died; GradworksError once a process will not stay up."""
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                code = child.process.returncode
                recent = [at for at in child.starts if at > time.monotonic() - 60]
                if len(recent) > _RESTARTS:
                    raise GradworksError(
                        f"{child.name} ended {len(recent)} times in a minute "
                        f"(exit code {code}); see {self._log_path(child.name)}"
                    )
                self._spawn(child)

    def _start(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / "logs").mkdir(exist_ok=True)
        self._lock()
        self._environment["GRADWORKS_DATA_DIR"] = str(self.folder)
        self._prepare_database()
        if not self._environment.get("GRADWORKS_BROKER_URL"):
            self._start_broker()
        listeners = _listeners(self._host, self._port, self._api_processes)
        for listener in listeners:
            self._open.enter_context(listener)
        self.url = f"http://{_authority(listeners[0])}"
        self._add("worker", [sys.executable, "-m", "worker"])
        for number, listener in enumerate(listeners, start=1):
            name = "api" if number == 1 else f"api-{number}"
            self._add(name, _uvicorn(listener), fds=(listener.fileno(),))
        self._remember()
        self._await_ready()

    def _lock(self) -> None:
        """One service a folder: a second one is refused, a dead one's lock is gone with it."""
        file = self._open.enter_context((self.folder / "up.lock").open("w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GradworksError(f"a service runs in {self.folder} already") from error

    def _prepare_database(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "store"],
            env=self._environment,
            capture_output=True,
            check=False,
            timeout=_START_SECONDS,
        )
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip().splitlines()
            raise GradworksError(f"the database could not be prepared: {(reason or ['?'])[-1]}")
        self.key = json.loads(done.stdout)["token"]

    def _start_broker(self) -> None:
        child = _Child("broker", [sys.executable, "-m", "worker.broker"])
        self._children.append(child)
        with self._log("broker") as log:
            child.process = subprocess.Popen(
                child.command,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=_die_with_parent(),
            )
        child.starts.append(time.monotonic())
        assert child.process.stdout is not None
        line = child.process.stdout.readline()
        if not line:
            raise GradworksError(f"the broker did not start; see {self._log_path('broker')}")
        self._environment["GRADWORKS_BROKER_URL"] = json.loads(line)["url"]

    def _add(self, name: str, command: list[str], *, fds: tuple[int, ...] = ()) -> None:
        child = _Child(name, command, fds)
        self._children.append(child)
        self._spawn(child)

    def _spawn(self, child: _Child) -> None:
        with self._log(child.name) as log:
            child.process = subprocess.Popen(
                child.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=child.fds,
                preexec_fn=_die_with_parent(),
            )
        child.starts.append(time.monotonic())

    def _log(self, name: str) -> IO[bytes]:
        return self._log_path(name).open("ab")

    def _log_path(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _remember(self) -> None:
        """Leave address and key where the command line of this folder finds them."""
        path = self.folder / "client.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        known |= {"url": self.url} | ({"key": self.key} if self.key else {})
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            json.dump(known, file)
        self._known_key = str(known.get("key", ""))

    def _await_ready(self) -> None:
        limit = time.monotonic() + _START_SECONDS
        headers = {"Authorization": f"Bearer {self._known_key}"}
        with httpx2.Client(base_url=self.url, headers=headers, trust_env=False, timeout=5) as http:
            while not _ready(http):
                if time.monotonic() > limit:
                    raise GradworksError(
                        f"the service is not ready after {_START_SECONDS:.0f} s; "
                        f"see {self.folder / 'logs'}"
                    )
                self.supervise()
                time.sleep(0.05)

    def __enter__(self) -> Service:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _ready(http: httpx2.Client) -> bool:
    try:
        if http.get("/readyz").status_code != 200:
            return False
        workers = http.get("/v1/workers")
    except httpx2.TransportError:
        return False
    return workers.status_code != 200 or bool(workers.json()["data"])


def _uvicorn(listener: socket.socket) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app"]
    return [*command, "--fd", str(listener.fileno()), "--no-access-log", "--no-server-header"]


def _listeners(host: str, port: int, count: int) -> list[socket.socket]:
    """A socket for each process, all of one address: the kernel deals connections out to them.

    Of processes that share one socket, the one that wakes first takes all that come at once, and
    the others have nothing to do. A connection to a process that has died waits for the next one.
    """
    if count == 1 or not sys.platform.startswith("linux"):  # elsewhere one of them would get all
        return [_listen(host, port)] * count
    with _bound(host, port) as free:  # alone: nobody else, who would share it, has the address
        port = free.getsockname()[1]
    return [_listen(host, port, shared=True) for _ in range(count)]


def _listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    listener = _bound(host, port, shared=shared)
    listener.listen(2048)
    return listener


def _bound(host: str, port: int, *, shared: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Inherited by every connection: uvicorn takes a socket given by number for a local one, and
    # without this each answer waits 40 ms for an acknowledgement of its headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise GradworksError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


def _authority(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _stop(child: _Child) -> None:
    process = child.process
    if process is None:
        return
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux, have the kernel end the child when this process dies, however it dies."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None, use_errno=True).prctl, os.getpid()

    def arm() -> None:
        prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return arm
