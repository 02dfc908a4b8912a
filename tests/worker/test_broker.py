import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from core.queue import WAKE, make_celery
from core.settings import Settings
from worker import broker

SERVERS = [broker.find_server(), broker.wheel_server()]


def client(running):
    return redis.Redis(unix_socket_path=str(running.socket), socket_timeout=5)


@pytest.fixture(params=SERVERS, ids=lambda path: path.name)
def running(request, tmp_path):
    with broker.serve(tmp_path / "b", request.param) as running:
        yield running


def test_it_answers_on_a_private_socket_and_on_no_port(running):
    with client(running) as asking:
        config = asking.config_get("*")

    assert config["port"] == "0"
    assert (config["appendonly"], config["maxmemory-policy"]) == ("yes", "noeviction")
    assert stat.S_IMODE(running.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(running.socket.stat().st_mode) == 0o600


def test_a_server_that_died_comes_back_at_the_same_address_with_what_it_knew(running):
    with client(running) as asking:
        asking.set("known", "1")
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()

    running.keep()

    with client(running) as asking:
        assert asking.get("known") == b"1"


def test_messages_that_cannot_be_read_are_given_up(tmp_path):
    with broker.serve(tmp_path / "b", broker.find_server()) as running:
        with client(running) as asking:
            asking.set("known", "1")
        log = next((running.directory / "appendonlydir").glob("*.incr.aof"))
        running.stop()
        log.write_bytes(b"*3\r\n$3\r\nSET nonsense" * 50)

        running.start()

        with client(running) as asking:
            assert asking.get("known") is None


def test_a_folder_has_one_broker(running):
    with (
        pytest.raises(broker.BrokerError, match="another broker is running"),
        broker.serve(running.directory, running.binary),
    ):
        pass


def test_a_long_folder_gets_a_short_socket(tmp_path):
    directory = tmp_path / ("d" * 100)

    with broker.serve(directory, broker.find_server()) as running:
        with client(running) as asking:
            assert asking.ping()
        socket = running.socket
        assert len(os.fsencode(socket)) < broker.SOCKET_PATH_LIMIT
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700

    assert not socket.parent.exists()


@pytest.mark.filterwarnings("ignore:The ``noload``")  # in kombu's SQLAlchemy transport
def test_without_a_server_messages_go_through_a_file(tmp_path):
    with broker.serve(tmp_path / "b", None) as running:
        settings = Settings(_env_file=None, data_dir=tmp_path, secret="x", broker_url=running.url)
        app = make_celery(settings)
        app.send_task(WAKE)
        with app.connection_for_read() as connection:
            message = connection.SimpleQueue("gradworks").get(timeout=10)
            message.ack()

    assert message.headers["task"] == WAKE


def start_as_process(data_dir: Path) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.broker"],
        stdout=subprocess.PIPE,
        env=os.environ | {"GRADWORKS_DATA_DIR": str(data_dir)},
    )
    return process, json.loads(process.stdout.readline())["url"]


def test_the_command_says_its_address_and_ends_when_told(tmp_path):
    process, url = start_as_process(tmp_path)
    with process:
        path = url.removeprefix("redis+socket://")
        with redis.Redis(unix_socket_path=path) as asking:
            assert asking.ping()
        process.terminate()

        assert process.wait(10) == 0
    assert not Path(path).exists()


def test_nothing_is_left_when_the_parent_is_killed(tmp_path):
    script = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-m', 'worker.broker'])\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env=os.environ | {"GRADWORKS_DATA_DIR": str(tmp_path)},
    )
    with parent:
        path = Path(json.loads(parent.stdout.readline())["url"].removeprefix("redis+socket://"))
        parent.kill()

        deadline = time.monotonic() + 10
        while path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert not path.exists()
