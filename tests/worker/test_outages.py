"""The database goes away and comes back: a proxy before PostgreSQL that can be cut."""

import socket
import threading
import time
from contextlib import suppress

import pytest
from sqlalchemy import make_url

from tests.worker.conftest import House
from tests.worker.test_supervisor import digest
from worker.housekeeping import Housekeeping

pytestmark = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


class Proxy:
    """A port that leads to a server, until it is cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open = True
        self._pairs: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._open:
                client.close()
                continue
            server = socket.create_connection(self._target)
            self._pairs += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self._open = False
        for one in self._pairs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._pairs.clear()

    def restore(self) -> None:
        self._open = True

    def close(self) -> None:
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def proxy(own_url):
    target = make_url(own_url)
    proxy = Proxy(target.host or "127.0.0.1", target.port or 5432)
    yield proxy
    proxy.close()


@pytest.fixture
def remote(settings, own_url, own_sessions, proxy):
    """A house whose supervisors reach the database through the proxy."""
    url = make_url(own_url).set(host="127.0.0.1", port=proxy.port)
    address = url.render_as_string(hide_password=False)
    house = House(settings.model_copy(update={"database_url": address}), own_sessions)
    yield house
    proxy.restore()
    house.close()


def test_training_goes_on_through_a_short_outage(remote, proxy):
    job_id = remote.submit(steps=150, seconds=0.02, checkpoint_every=1000)
    remote.supervisor(lease_seconds=30.0)
    remote.wait(job_id, lambda job: job.step > 5)

    proxy.cut()
    before = remote.job(job_id).step
    time.sleep(1.5)
    proxy.restore()
    after = remote.wait(job_id, lambda job: job.step > before).step
    job = remote.wait_for_state(job_id, "succeeded")

    assert (job.attempt, job.summary["digest"]) == (1, digest(150))
    assert after > before + 20


def test_a_long_outage_ends_the_attempt_and_the_job_goes_on_later(remote, proxy):
    job_id = remote.submit(steps=250, seconds=0.02)
    supervisor = remote.supervisor()
    housekeeping = Housekeeping(remote.settings, supervisor, remote.waker)
    housekeeping.start()
    before = remote.wait(job_id, lambda job: job.step > 5)

    proxy.cut()
    time.sleep(4)
    during = remote.job(job_id)
    proxy.restore()
    job = remote.wait_for_state(job_id, "succeeded")
    housekeeping.stop()

    assert during.fence == before.fence
    assert (job.attempt, job.summary["digest"]) == (2, digest(250))
    assert ("queued", "worker_lost") in remote.history(job_id)
