"""The producer's half of Celery: what a wake-up is called, and how one is sent.

A wake-up names no job: a worker that gets one claims the next row of the queue. So one that is lost
costs a moment (workers also poll), and one that comes twice costs nothing.
"""

import logging
import threading
from contextlib import suppress
from typing import Any

from celery import Celery
from kombu.connection import Connection
from kombu.entity import Queue

from core.settings import Settings

WAKE = "worker.wake"
QUEUE = "gradworks"
WAKE_SECONDS = 60

log = logging.getLogger(__name__)


def make_celery(settings: Settings) -> Celery:
    """The Celery application that workers run and producers send through."""
    url = broker_url(settings)
    app = Celery("gradworks", broker=url, set_as_current=False)
    app.conf.update(
        task_acks_late=False,  # a wake-up carries no work, so nothing is lost with it
        task_ignore_result=True,
        result_backend=None,
        task_serializer="json",
        accept_content=["json"],
        task_publish_retry=False,
        task_default_queue=QUEUE,
        task_queues=[_queue(url)],
        worker_pool="prefork",
        worker_pool_start_method="spawn",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=_is_redis(url),
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=30,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport_options(url),
    )
    return app


def broker_url(settings: Settings) -> str:
    """The broker; where none is named, a SQLite file of its own, which any process can use."""
    return settings.broker_url or f"sqla+sqlite:///{settings.data_dir}/broker.db"


class Waker:
    """Sends wake-ups from a thread of its own, so that no request ever waits for a broker.

    At most one waits to be sent; a broker that fails is logged and forgotten.
    """

    def __init__(self, settings: Settings) -> None:
        self._app = make_celery(settings)
        if _is_redis(broker_url(settings)):
            options = self._app.conf.broker_transport_options
            self._app.conf.broker_transport_options = options | {"socket_timeout": 1}
        self._app.conf.broker_connection_timeout = 2
        self._connection: Connection | None = None
        self._changed = threading.Condition()
        self._pending = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Ask for one wake-up; returns at once."""
        with self._changed:
            if self._closed:
                return
            self._pending = True
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                self._thread.start()

    def close(self, timeout: float = 2) -> None:
        """Send what is pending, as far as the time allows, and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while self._wanted():
            self._send()
        self._drop()

    def _wanted(self) -> bool:
        """Wait for a wish and take it; false once there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closed)
            wanted, self._pending = self._pending, False
            return wanted

    def _send(self) -> None:
        error: Exception | None = None
        for _ in range(2):  # a connection that stood idle may have died: try a new one
            error = self._attempt()
            if error is None:
                return
        # Not even a log line that cannot be written may end the thread.
        with suppress(Exception):
            log.warning("the broker takes no wake-up, workers will poll: %s", error)

    def _attempt(self) -> Exception | None:
        """Send one; whatever a broker does, the row is queued, so what it raises is only told."""
        try:
            self._publish()
        except Exception as error:  # noqa: BLE001
            self._drop()
            return error
        return None

    def _publish(self) -> None:
        if self._connection is None:
            self._connection = self._app.connection_for_write()
        self._app.send_task(
            WAKE, connection=self._connection, retry=False, expires=WAKE_SECONDS, queue=QUEUE
        )

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.release()  # type: ignore[no-untyped-call]


def _is_redis(url: str) -> bool:
    return url.startswith(("redis", "valkey"))


def _is_rabbit(url: str) -> bool:
    return url.startswith(("amqp", "pyamqp"))


def _transport_options(url: str) -> dict[str, Any]:
    if _is_redis(url):
        return {
            "visibility_timeout": 300,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 25,
        }
    return {"confirm_publish": True} if _is_rabbit(url) else {}


def _queue(url: str) -> Queue:
    """RabbitMQ keeps no wake-up for longer than it is of use, and not many of them."""
    limits = {"x-message-ttl": WAKE_SECONDS * 1000, "x-max-length": 100}
    arguments = limits if _is_rabbit(url) else {}
    return Queue(QUEUE, queue_arguments=arguments)  # type: ignore[no-untyped-call]
