import inspect

import pytest

from core import errors
from core.errors import AppError, Invalid, LeaseLost, NotFound, Problem, Unauthorized, Unavailable

TREE = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AppError)
]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_the_picture_of_the_tree_is_true(kind):
    line = next(
        one
        for one in errors.__doc__.splitlines()
        if one.strip("│├└─ ").split(" ")[0] == kind.__name__
    )

    assert 400 <= kind.status < 600
    parent = kind.__mro__[1]
    if parent in (AppError, Exception):
        assert line.split()[-1] == str(kind.status)
    else:
        assert kind.status == parent.status


def test_codes_tell_errors_apart():
    assert len({kind.code for kind in TREE}) == len(TREE)


def test_not_found():
    error = NotFound("job", "job_1")

    assert str(error) == error.detail == "job job_1 does not exist"
    assert (error.status, error.code, error.kind, error.id) == (404, "not_found", "job", "job_1")


def test_invalid_carries_every_problem():
    problems = [
        Problem("/train/lr", "too_large", "the rate is above 1", expected="<= 1", got=3),
        Problem("", "missing", "there is no model", hint="add model: …"),
    ]

    error = Invalid(problems)

    assert str(error) == "/train/lr: the rate is above 1; there is no model"
    assert error.problems == tuple(problems)
    assert problems[0].as_dict() == {
        "pointer": "/train/lr",
        "code": "too_large",
        "detail": "the rate is above 1",
        "expected": "<= 1",
        "got": 3,
        "hint": None,
    }


def test_headers_that_a_status_needs():
    assert Unauthorized().headers == {"WWW-Authenticate": "Bearer"}
    assert Unavailable("busy", retry_after=3).headers == {"Retry-After": "3"}


def test_a_lost_lease_is_a_conflict():
    error = LeaseLost("job_1", 7)

    assert (error.status, error.code) == (409, "lease_lost")
    assert "job_1 with fence 7" in str(error)
