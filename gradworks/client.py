"""The client: one object, one attribute for each noun of the API."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx2

from gradworks.datasets import Datasets
from gradworks.jobs import Jobs
from gradworks.keys import Keys
from gradworks.models import Models
from gradworks.transport import Transport


class Client:
    """A connection to a Gradworks service.

    It may be shared between threads; close it, or use it as a context manager.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str,
        timeout: float = 60.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.transport = Transport(url, api_key, timeout=timeout, transport=transport)
        self.datasets = Datasets(self.transport)
        self.jobs = Jobs(self.transport)
        self.models = Models(self.transport)
        self.keys = Keys(self.transport)

    def queue(self) -> dict[str, Any]:
        """How many jobs wait and run."""
        found: dict[str, Any] = self.transport.get("/v1/queue")
        return found

    def workers(self) -> list[dict[str, Any]]:
        """The workers seen lately."""
        found: list[dict[str, Any]] = self.transport.get("/v1/workers")["data"]
        return found

    def close(self) -> None:
        self.transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
