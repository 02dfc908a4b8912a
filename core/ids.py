"""Names of rows: a prefix that says what the row is, and a ULID, so that names sort by time."""

import secrets
import time
from typing import Literal

Prefix = Literal["prj", "key", "upl", "blb", "ds", "dsv", "job", "ckp", "art", "mod", "wrk"]

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
LENGTH = 26


def new_id(prefix: Prefix) -> str:
    """`new_id("job")` is `job_` and 26 characters: 48 bits of milliseconds, 80 of chance."""
    return f"{prefix}_{base32((time.time_ns() // 1_000_000 << 80) | secrets.randbits(80), LENGTH)}"


def base32(number: int, length: int) -> str:
    """The low `5 * length` bits of a number, most significant first."""
    return "".join(ALPHABET[number >> shift & 31] for shift in range(5 * (length - 1), -1, -5))
