"""HTTP as the client speaks it: authentication, idempotency keys, retries, problem documents."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx2

from gradworks.errors import GradworksError, Unreachable, from_answer

_RETRIED_STATUS = frozenset({429, 502, 503, 504})


class Transport:
    """One connection pool to one service. Requests are safe to repeat, so they are repeated."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 60.0,
        retries: int = 4,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.retries = retries
        self._http = httpx2.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {api_key}", "User-Agent": "gradworks-python"},
            timeout=httpx2.Timeout(timeout, connect=5.0),
            transport=transport,
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        return self.send("GET", path, params=params).json()

    def post(self, path: str, body: Any = None, **params: Any) -> Any:
        answer = self.send("POST", path, params=params, json=body)
        return answer.json() if answer.content else None

    def delete(self, path: str) -> None:
        self.send("DELETE", path)

    def send(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Send until answered: connection failures and 429/502/503/504 are tried again."""
        request["params"] = {
            k: v for k, v in (request.get("params") or {}).items() if v is not None
        }
        request["headers"] = _idempotent(method, request.get("headers"))
        for attempt in range(self.retries + 1):
            last = attempt == self.retries
            try:
                answer = self._http.request(method, path, **request)
            except httpx2.TransportError as error:
                if last:
                    raise Unreachable(f"{self.base_url} does not answer: {error}") from error
                _pause(attempt)
                continue
            if answer.status_code in _RETRIED_STATUS and not last:
                _pause(attempt, answer.headers.get("retry-after"))
                continue
            return _checked(answer)
        raise AssertionError("unreachable")

    @contextmanager
    def stream(
        self, path: str, *, headers: dict[str, str] | None = None, **params: Any
    ) -> Iterator[httpx2.Response]:
        """A response whose body has not been read. Not retried: the reader knows how far it got."""
        known = {k: v for k, v in params.items() if v is not None}
        try:
            with self._http.stream("GET", path, params=known, headers=headers) as answer:
                if answer.status_code >= 400:
                    answer.read()
                yield _checked(answer)
        except httpx2.TransportError as error:
            raise Unreachable(f"{self.base_url} broke off: {error}") from error


def _idempotent(method: str, headers: dict[str, str] | None) -> dict[str, str]:
    known = dict(headers or {})
    if method == "POST":
        known.setdefault("Idempotency-Key", uuid4().hex)
    return known


def _pause(attempt: int, retry_after: str | None = None) -> None:
    wait = 0.2 * 2**attempt * random.uniform(0.7, 1.3)
    if retry_after and retry_after.isdigit():
        wait = max(wait, min(float(retry_after), 30.0))
    time.sleep(wait)


def _checked(answer: httpx2.Response) -> httpx2.Response:
    if answer.status_code < 400:
        return answer
    try:
        problem = answer.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise GradworksError(f"HTTP {answer.status_code} from {answer.url}") from error
    raise from_answer(answer.status_code, problem if isinstance(problem, dict) else {})
