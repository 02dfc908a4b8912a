"""The service on one machine: what it leaves, what it survives."""

import json
import os
import re
import signal
import stat
import sys

import httpx2
import pytest

from gradworks import Client, GradworksError
from gradworks.service import Service


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids(service: Service) -> list[int]:
    return [child.process.pid for child in service._children if child.process]


def test_the_key_is_shown_once_and_kept_for_its_owner_only(tmp_path):
    with Service(tmp_path) as first:
        token = first.key
        running = pids(first)
    assert not any(alive(pid) for pid in running)

    with Service(tmp_path) as again:
        assert again.key is None
        with Client(again.url, api_key=str(token)) as client:
            assert client.queue()

    kept = tmp_path / "client.json"
    assert json.loads(kept.read_text())["key"] == token
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_process_that_dies_is_started_again(tmp_path):
    with Service(tmp_path) as service:
        api = next(child for child in service._children if child.name == "api")
        os.kill(api.process.pid, signal.SIGKILL)
        api.process.wait()

        service.supervise()

        with Client(service.url, api_key=str(service.key)) as client:
            assert client.queue()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_port_that_is_taken(service, tmp_path, processes):
    port = int(service.url.rsplit(":", 1)[1])

    with pytest.raises(GradworksError, match=f"port {port}"):
        Service(tmp_path, port=port, api_processes=processes).start()
    assert not (tmp_path / "client.json").exists()


def answering(url: str, connections: int = 30) -> set[str]:
    """Which processes answer so many connections, by what they say of themselves."""
    found = set()
    for _ in range(connections):
        with httpx2.Client(base_url=url, trust_env=False, timeout=30) as http:
            found |= set(re.findall(r'process="(\d+)"', http.get("/metrics").text))
            assert http.get("/healthz").status_code == 200
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere they share a socket")
def test_connections_are_dealt_out_to_all_processes_of_the_api(tmp_path):
    with Service(tmp_path, api_processes=2) as service:
        first, second = (c for c in service._children if c.name.startswith("api"))
        both = {str(one.process.pid) for one in (first, second)}
        assert answering(service.url) == both

        os.kill(second.process.pid, signal.SIGKILL)
        second.process.wait()
        service.supervise()

        assert answering(service.url) == {str(first.process.pid), str(second.process.pid)} != both
