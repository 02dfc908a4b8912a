import json
import logging
import socket
import threading
import time

import pytest
from celery import Celery

from core.queue import QUEUE, WAKE, Waker, broker_url as url_of, make_celery
from core.settings import Settings


@pytest.fixture
def make_settings(tmp_path):
    def make(url):
        return Settings(_env_file=None, data_dir=tmp_path, secret="s", broker_url=url)

    return make


def messages(app: Celery, wait=3.0):
    """Take what is in the queue."""
    found = []
    deadline = time.monotonic() + wait
    with (
        app.connection_for_read() as connection,
        connection.SimpleQueue(app.amqp.queues[QUEUE]) as queue,
    ):
        while time.monotonic() < deadline:
            try:
                message = queue.get(timeout=0.2)
            except queue.Empty:
                if found:
                    break
                continue
            found.append((message.headers, json.loads(message.body)))
            message.ack()
    return found


@pytest.mark.filterwarnings("ignore:The ``noload``:DeprecationWarning")  # of kombu's own tables
def test_a_wake_up_names_a_task_and_carries_nothing(any_broker_url, make_settings):
    settings = make_settings(any_broker_url)
    app = make_celery(settings)
    messages(app, wait=0.3)
    waker = Waker(settings)

    waker.wake()
    waker.close()

    ((headers, (args, kwargs, _)),) = messages(app)
    assert headers["task"] == WAKE
    assert (args, kwargs) == ([], {})


def test_many_wishes_make_few_wake_ups(broker_url, make_settings):
    settings = make_settings(broker_url)
    app = make_celery(settings)
    waker = Waker(settings)

    for _ in range(1000):
        waker.wake()
    waker.close()

    assert 1 <= len(messages(app)) < 500


@pytest.fixture
def silent_broker():
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def absent_broker():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"amqp://guest:guest@127.0.0.1:{server.getsockname()[1]}//"


def test_a_broker_that_hangs_delays_nobody(silent_broker, make_settings):
    waker = Waker(make_settings(silent_broker))
    started = time.monotonic()

    for _ in range(100):
        waker.wake()

    assert time.monotonic() - started < 0.5
    waker.close(timeout=0)


def test_a_broker_that_is_down_is_logged_and_forgotten(make_settings, caplog):
    waker = Waker(make_settings(absent_broker()))
    with caplog.at_level(logging.WARNING, "core.queue"):
        waker.wake()
        deadline = time.monotonic() + 20
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.05)
        waker.close(timeout=20)

    assert "workers will poll" in caplog.text


def test_a_log_that_cannot_be_written_does_not_end_the_thread(make_settings):
    ended = threading.Event()

    class Closed(logging.Handler):
        def emit(self, record):
            ended.set()
            raise ValueError("I/O operation on closed file")

    waker = Waker(make_settings(absent_broker()))
    log, handler = logging.getLogger("core.queue"), Closed()
    log.addHandler(handler)
    try:
        for _ in range(2):
            ended.clear()
            waker.wake()
            assert ended.wait(20)
    finally:
        waker.close(timeout=20)
        log.removeHandler(handler)


def test_nothing_runs_before_the_first_wake_up(make_settings):
    before = threading.active_count()
    waker = Waker(make_settings("memory://"))
    assert threading.active_count() == before

    waker.close()
    waker.wake()

    assert threading.active_count() == before


def test_without_a_broker_there_is_a_file(make_settings, tmp_path):
    assert url_of(make_settings("")) == f"sqla+sqlite:///{tmp_path}/broker.db"


@pytest.mark.parametrize(
    ("url", "options", "prefetch_off"),
    [
        (
            "redis://h/0",
            {
                "visibility_timeout": 300,
                "socket_timeout": 5,
                "socket_connect_timeout": 2,
                "socket_keepalive": True,
                "health_check_interval": 25,
            },
            True,
        ),
        ("amqp://h//", {"confirm_publish": True}, False),
        ("memory://", {}, False),
    ],
)
def test_what_each_broker_is_told(make_settings, url, options, prefetch_off):
    conf = make_celery(make_settings(url)).conf

    assert conf.broker_transport_options == options
    assert conf.worker_disable_prefetch is prefetch_off
    assert (conf.task_acks_late, conf.worker_prefetch_multiplier) == (False, 1)
    assert (conf.worker_pool, conf.worker_pool_start_method) == ("prefork", "spawn")
    assert conf.result_backend is None
    assert conf.accept_content == ["json"]
    assert [queue.name for queue in conf.task_queues] == [QUEUE]


def test_rabbitmq_keeps_no_old_wake_ups(make_settings):
    (queue,) = make_celery(make_settings("amqp://h//")).conf.task_queues

    assert queue.queue_arguments == {"x-message-ttl": 60_000, "x-max-length": 100}
