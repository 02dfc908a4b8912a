"""A closed-loop HTTP load generator on plain sockets: cheap enough to share the cores it loads."""

from __future__ import annotations

import selectors
import socket
import time
from dataclasses import dataclass, field

_HEADERS_END = b"\r\n\r\n"


@dataclass
class Load:
    """What came of a run: answers a second, latencies in milliseconds, everything not 200."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Connection:
    def __init__(self, host: str, port: int, request: bytes) -> None:
        self.socket = socket.create_connection((host, port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._answer = b""
        self._sent = 0.0

    def send(self) -> None:
        self._sent = time.perf_counter()
        self.socket.sendall(self._request)

    def receive(self) -> tuple[bool, float] | None:
        """(was it a 200, seconds) once the answer is whole."""
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        answer = self._answer + chunk if self._answer else chunk
        if not _is_whole(answer):
            self._answer = answer
            return None
        self._answer = b""
        return answer.startswith(b"HTTP/1.1 200"), time.perf_counter() - self._sent


def run(host: str, port: int, request: bytes, *, connections: int, seconds: float) -> Load:
    """Keep `connections` requests under way for `seconds`."""
    load = Load(seconds)
    with selectors.DefaultSelector() as selector:
        opened = [_Connection(host, port, request) for _ in range(connections)]
        for connection in opened:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send()
        started = time.perf_counter()
        end = started + seconds
        while time.perf_counter() < end:
            for key, _ in selector.select(timeout=1):
                done = key.data.receive()
                if done is None:
                    continue
                good, latency = done
                load.latencies.append(latency)
                load.errors += not good
                key.data.send()
        load.seconds = time.perf_counter() - started
        for connection in opened:
            connection.socket.close()
    return load


def _is_whole(answer: bytes) -> bool:
    end = answer.find(_HEADERS_END)
    if end < 0:
        return False
    head = answer[:end].lower()
    at = head.find(b"content-length:")
    if at < 0:
        return True
    line_end = head.find(b"\r\n", at)
    length = int(head[at + 15 : line_end if line_end > 0 else end])
    return len(answer) >= end + len(_HEADERS_END) + length
