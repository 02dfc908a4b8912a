"""What can go wrong on the client's side.

GradworksError
├── ApiError               the service answered, and refused
│   ├── AuthenticationFailed   401
│   ├── PermissionDenied       403
│   ├── NotFound               404
│   ├── Conflict               409
│   ├── Refused                400 413 415 422: the request must change
│   └── Unavailable            429 5xx: the same request may succeed later
├── Unreachable            no answer came
└── BrokenDownload         the bytes are not those the service signed for
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class GradworksError(Exception):
    """Something the caller can read and act on."""

    exit_code = 1


class ApiError(GradworksError):
    """The service's answer to a request it did not carry out."""

    def __init__(self, status: int, problem: Json) -> None:
        self.status = status
        self.code = str(problem.get("code", "error"))
        self.detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.problems: list[Json] = list(problem.get("errors") or [])
        self.request_id = problem.get("request_id")
        super().__init__(self.detail)

    def __str__(self) -> str:
        return "\n".join([self.detail, *map(_line, self.problems)])


class AuthenticationFailed(ApiError):
    exit_code = 4


class PermissionDenied(ApiError):
    exit_code = 4


class NotFound(ApiError):
    exit_code = 5


class Conflict(ApiError):
    exit_code = 3


class Refused(ApiError):
    exit_code = 3


class Unavailable(ApiError):
    exit_code = 6


class Unreachable(GradworksError):
    """No answer came from the service."""

    exit_code = 6


class BrokenDownload(GradworksError):
    """The bytes received are not those the service announced."""


_BY_STATUS: dict[int, type[ApiError]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    429: Unavailable,
}


def from_answer(status: int, problem: Json) -> ApiError:
    """The error that an HTTP status and its problem document stand for."""
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 else Refused)
    return kind(status, problem)


def _line(problem: Json) -> str:
    """One problem in plain words, its place first."""
    where = problem.get("pointer") or "/"
    text = f"  {where}: {problem.get('detail', '')}"
    for label in ("expected", "got"):
        if problem.get(label) is not None:
            text += f"\n      {label}: {problem[label]}"
    if problem.get("hint"):
        text += f"\n      try: {problem['hint']}"
    return text
