"""The service on one machine: what it leaves, what it survives."""

import json
import os
import signal
import stat

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


def test_a_port_that_is_taken(service, tmp_path):
    port = int(service.url.rsplit(":", 1)[1])

    with pytest.raises(GradworksError, match=f"port {port}"):
        Service(tmp_path, port=port).start()
    assert not (tmp_path / "client.json").exists()
