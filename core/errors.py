"""Everything that can go wrong, as the caller sees it.

AppError                    500
├── BadRequest              400
├── Unauthorized            401
├── Forbidden               403
├── NotFound                404
├── Conflict                409
│   ├── BadTransition
│   ├── IdempotencyConflict
│   └── LeaseLost
├── TooLarge                413
├── Unsupported             415
├── RangeNotSatisfiable     416
├── Invalid                 422
├── RateLimited             429
├── Damaged                 500
├── Unavailable             503
└── StorageFull             507
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where, what, what was expected, what was got, how to mend it.

    `pointer` is a JSON pointer into the input ("/train/optimizer/lr", "" for all of it).
    """

    pointer: str
    code: str
    detail: str
    expected: Any = None
    got: Any = None
    hint: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class AppError(Exception):
    """A failure the caller can act on; the API renders it as problem+json."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong here"

    def __init__(
        self,
        detail: str,
        *,
        problems: Iterable[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problems = tuple(problems)
        self.headers = dict(headers or {})


class BadRequest(AppError):
    status = 400
    code = "bad_request"
    title = "The request cannot be read"


class Unauthorized(AppError):
    status = 401
    code = "unauthorized"
    title = "A valid API key is needed"

    def __init__(self, detail: str = "the API key is missing, wrong, expired or revoked") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(AppError):
    status = 403
    code = "forbidden"
    title = "The API key may not do this"


class NotFound(AppError):
    status = 404
    code = "not_found"
    title = "There is no such thing"

    def __init__(self, kind: str, id: object) -> None:
        super().__init__(f"{kind} {id} does not exist")
        self.kind = kind
        self.id = id


class Conflict(AppError):
    status = 409
    code = "conflict"
    title = "The request does not fit the present state"


class BadTransition(Conflict):
    code = "bad_transition"


class IdempotencyConflict(Conflict):
    code = "idempotency_conflict"
    title = "The idempotency key is taken by another request"


class LeaseLost(Conflict):
    """The job belongs to somebody else by now: stop at once and write nothing."""

    code = "lease_lost"
    title = "The lease on the job is lost"

    def __init__(self, job_id: str, fence: int) -> None:
        super().__init__(f"the lease on job {job_id} with fence {fence} is lost")


class TooLarge(AppError):
    status = 413
    code = "too_large"
    title = "The content is too large"


class Unsupported(AppError):
    status = 415
    code = "unsupported_media_type"
    title = "The media type is not supported"


class RangeNotSatisfiable(AppError):
    status = 416
    code = "range_not_satisfiable"
    title = "The range lies outside the file"


class Invalid(AppError):
    """An input that reads well and cannot be right; carries every problem found."""

    status = 422
    code = "invalid"
    title = "The input is not valid"

    def __init__(self, problems: Iterable[Problem], detail: str | None = None) -> None:
        found = tuple(problems)
        super().__init__(detail or "; ".join(_line(one) for one in found), problems=found)


class RateLimited(AppError):
    status = 429
    code = "rate_limited"
    title = "Too many requests"


class Damaged(AppError):
    """Stored bytes are not those that were written."""

    status = 500
    code = "damaged"
    title = "Stored data is damaged"


class Unavailable(AppError):
    status = 503
    code = "unavailable"
    title = "Try again in a moment"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class StorageFull(AppError):
    status = 507
    code = "storage_full"
    title = "There is no room left"


def _line(problem: Problem) -> str:
    return f"{problem.pointer}: {problem.detail}" if problem.pointer else problem.detail
