"""Broken connections, against real sockets on this machine."""

import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gradworks import ApiError, BrokenDownload, Unavailable
from gradworks.errors import Unreachable
from gradworks.files import download
from gradworks.transport import Transport

BODY = bytes(range(256)) * 4096


class _Script(BaseHTTPRequestHandler):
    """Answers as the test's script says, one step a request; remembers what was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._play()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._play()

    def _play(self) -> None:
        self.server.asked.append(dict(self.headers))
        self.server.script.pop(0)(self)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Script)
    server.asked, server.script = [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def transport(server: ThreadingHTTPServer) -> Iterator[Transport]:
    made = Transport(f"http://127.0.0.1:{server.server_port}", "gw_key", retries=2)
    yield made
    made.close()


def answer(status: int, body: bytes = b"{}", **headers: str):
    def play(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return play


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.close()


def half(handler: BaseHTTPRequestHandler) -> None:
    """Promise the whole body, send half of it, hang up."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(BODY)))
    handler.end_headers()
    handler.wfile.write(BODY[: len(BODY) // 2])
    handler.close_connection = True


def rest(handler: BaseHTTPRequestHandler) -> None:
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    answer(206, BODY[start:])(handler)


def test_a_busy_service_is_asked_again(server, transport):
    server.script = [answer(503, Retry_After="0"), answer(429), answer(200, b'{"ok": true}')]

    assert transport.get("/v1/queue") == {"ok": True}


def test_a_post_that_got_no_answer_is_sent_again_under_the_same_key(server, transport):
    server.script = [hang_up, answer(201, b'{"id": 1}')]

    assert transport.post("/v1/jobs", {"name": "x"}) == {"id": 1}
    first, second = (asked["Idempotency-Key"] for asked in server.asked)
    assert first == second


def test_a_service_that_stays_busy(server, transport):
    server.script = [answer(503)] * 3

    with pytest.raises(Unavailable):
        transport.get("/v1/queue")


def test_a_refusal_is_not_repeated(server, transport):
    server.script = [answer(422, b'{"code": "invalid", "detail": "no"}')]

    with pytest.raises(ApiError, match="no"):
        transport.post("/v1/jobs", {})
    assert len(server.asked) == 1


def test_nobody_listens():
    lost = Transport("http://127.0.0.1:9", "gw_key", retries=0)

    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        lost.get("/v1/queue")
    lost.close()


def test_a_download_goes_on_where_it_broke_off(server, transport, tmp_path):
    server.script = [half, rest]
    described = {"name": "weights", "bytes": len(BODY), "sha256": sha256(BODY).hexdigest()}

    path = download(transport, "/file", described, tmp_path)

    assert path.read_bytes() == BODY
    assert server.asked[1]["Range"] == f"bytes={len(BODY) // 2}-"


def test_a_download_with_wrong_bytes_does_not_appear(server, transport, tmp_path):
    server.script = [answer(200, b"something else")]
    described = {"name": "weights", "bytes": 14, "sha256": sha256(BODY).hexdigest()}

    with pytest.raises(BrokenDownload, match="weights"):
        download(transport, "/file", described, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_cannot_leave_the_folder(server, transport, tmp_path):
    server.script = [answer(200, BODY)]
    described = {"name": "../../evil", "bytes": len(BODY), "sha256": sha256(BODY).hexdigest()}

    path = download(transport, "/file", described, tmp_path / "inside")

    assert path == tmp_path / "inside" / "evil"
