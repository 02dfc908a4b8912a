"""What Prometheus reads at /metrics.

Requests are counted by each process for itself, and the label `process` says which; jobs and the
queue are counted by the database, so they are the same whichever process answers.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session, sessionmaker

from api.waiting import oldest_wait_seconds
from core.errors import AppError
from store import jobs

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
KEEP_SECONDS = 15.0

Observe = Callable[[float], None]


class Telemetry:
    """Counts requests by method, route and status; one object an application."""

    def __init__(self, readers: sessionmaker[Session]) -> None:
        self._registry = CollectorRegistry()
        self._process = str(os.getpid())
        self._requests = Counter(
            "gradworks_http_requests",
            "Requests answered.",
            ["method", "route", "status", "process"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "gradworks_http_request_seconds",
            "Time to answer a request.",
            ["route", "process"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Callable[[], None], Observe]] = {}
        self._routes: dict[Any, str] = {}
        self._registry.register(Jobs(readers))

    def learn(self, routes: Iterable[tuple[Any, str]]) -> None:
        """Which endpoint function stands for which path."""
        self._routes = dict(routes)

    def route_of(self, endpoint: Any) -> str:
        return self._routes.get(endpoint, "none")

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._child(method, route, status)
        child[0]()
        child[1](seconds)

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def _child(self, method: str, route: str, status: int) -> tuple[Callable[[], None], Observe]:
        known = method if method in ("GET", "POST", "DELETE", "HEAD", "PUT", "PATCH") else "other"
        return (
            self._requests.labels(known, route, str(status), self._process).inc,
            self._seconds.labels(route, self._process).observe,
        )


class Jobs(Collector):
    """Jobs by state and the age of the queue, asked of the database at most every few seconds."""

    def __init__(self, readers: sessionmaker[Session]) -> None:
        self._readers = readers
        self._until = 0.0
        self._kept: list[Metric] = []

    def describe(self) -> Iterable[Metric]:
        return []  # else registering would ask the database

    def collect(self) -> Iterator[Metric]:
        if time.monotonic() >= self._until:
            self._kept = self._ask()
            self._until = time.monotonic() + KEEP_SECONDS
        yield from self._kept

    def _ask(self) -> list[Metric]:
        up = GaugeMetricFamily("gradworks_database_up", "Whether the database answers.")
        try:
            with self._readers.begin() as session:
                counts = jobs.counts(session)
                oldest = oldest_wait_seconds(session)
        except AppError:
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        by_state = GaugeMetricFamily("gradworks_jobs", "Jobs by state.", labels=["state"])
        for state, number in counts.items():
            by_state.add_metric([state.value], number)
        age = GaugeMetricFamily(
            "gradworks_queue_oldest_seconds", "How long the oldest queued job has waited."
        )
        age.add_metric([], oldest or 0)
        return [up, by_state, age]
