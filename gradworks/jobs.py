"""Jobs: submit, watch, cancel."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2

from gradworks.errors import Unreachable
from gradworks.files import download
from gradworks.pages import every
from gradworks.transport import Transport

_POLL_SECONDS = (0.1, 1.0)  # between looks at a job: the least and the most

Json = dict[str, Any]
Spec = Mapping[str, Any] | str | Path


class Jobs:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(self, spec: Spec, *, idempotency_key: str | None = None) -> Json:
        """Queue a job. `spec` is a mapping, or the path of a YAML or JSON file."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self._post_spec(spec, headers=headers)

    def plan(self, spec: Spec, *, explain: bool = False) -> Json:
        """What the job would cost, or every problem it has; nothing is queued.

        explain: with "explanation", the step that it will be compiled to: passes, kernels, memory.
        """
        params = {"dry_run": "true"} | ({"explain": "true"} if explain else {})
        return self._post_spec(spec, params=params)

    def get(self, job_id: str) -> Json:
        return self._get(f"/v1/jobs/{job_id}")

    def each(self, *, state: str | None = None) -> Iterator[Json]:
        return every(self._transport, "/v1/jobs", state=state)

    def cancel(self, job_id: str) -> Json:
        answer: Json = self._transport.post(f"/v1/jobs/{job_id}/cancel")
        return answer

    def wait(self, job_id: str, *, poll: float | None = None, timeout: float | None = None) -> Json:
        """Poll until the job has ended; TimeoutError after `timeout` seconds.

        poll: seconds between looks. Unless told: a tenth of a second at first, a second in the
            end, which is how often the service asks to be asked.
        """
        started = time.monotonic()
        while not (job := self.get(job_id))["is_terminal"]:
            waited = time.monotonic() - started
            if timeout is not None and waited > timeout:
                raise TimeoutError(f"job {job_id} is {job['state']} after {timeout} s")
            time.sleep(pause(waited) if poll is None else poll)
        return job

    def events(self, job_id: str, *, after: int = 0, limit: int = 200) -> list[Json]:
        """A page of stored events, those after number `after`."""
        page = self._get(f"/v1/jobs/{job_id}/events", after=after, limit=limit)
        found: list[Json] = page["data"]
        return found

    def follow(self, job_id: str, *, after: int = 0) -> Iterator[Json]:
        """Every event as it happens, from number `after` on, until the job has ended.

        A stream that breaks is taken up again where it broke.
        """
        failures = 0
        while True:
            try:
                for event in self._stream(job_id, after):
                    failures, after = 0, event["seq"]
                    yield event
            except Unreachable:
                failures += 1
                if failures > self._transport.retries:
                    raise
                time.sleep(0.2 * 2**failures)
            if self.get(job_id)["is_terminal"] and not self.events(job_id, after=after, limit=1):
                return

    def metrics(
        self, job_id: str, *, names: list[str] | None = None, max_points: int | None = None
    ) -> Json:
        joined = None if names is None else ",".join(names)
        return self._get(f"/v1/jobs/{job_id}/metrics", names=joined, max_points=max_points)

    def logs(self, job_id: str) -> Iterator[Json]:
        return every(self._transport, f"/v1/jobs/{job_id}/logs")

    def checkpoints(self, job_id: str) -> list[Json]:
        found: list[Json] = self._get(f"/v1/jobs/{job_id}/checkpoints")["data"]
        return found

    def files(self, job_id: str) -> list[Json]:
        found: list[Json] = self._get(f"/v1/jobs/{job_id}/files")["data"]
        return found

    def download(self, job_id: str, folder: str | Path) -> list[Path]:
        """Fetch every file the job produced; each is checked against its sha256."""
        base = f"/v1/jobs/{job_id}/files"
        return [
            download(self._transport, f"{base}/{file['name']}", file, Path(folder))
            for file in self.files(job_id)
        ]

    def _stream(self, job_id: str, after: int) -> Iterator[Json]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        with self._transport.stream(f"/v1/jobs/{job_id}/events", headers=headers) as answer:
            for event in httpx2.EventSource(answer):
                if event.id:
                    yield json.loads(event.data)

    def _post_spec(self, spec: Spec, **request: Any) -> Json:
        if isinstance(spec, str | Path):
            path = Path(spec)
            kind = "json" if path.suffix == ".json" else "yaml"
            headers = {"Content-Type": f"application/{kind}", **request.pop("headers", {})}
            request |= {"content": path.read_bytes(), "headers": headers}
        else:
            request["json"] = dict(spec)
        answer: Json = self._transport.send("POST", "/v1/jobs", **request).json()
        return answer

    def _get(self, path: str, **params: Any) -> Json:
        found: Json = self._transport.get(path, **params)
        return found


def pause(waited: float) -> float:
    """Seconds until the next look at a job that one has waited for so long."""
    least, most = _POLL_SECONDS
    return min(most, max(least, waited / 10))
