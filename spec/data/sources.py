"""One file of a dataset: opened with its size counted, and named in every complaint about it."""

import difflib
import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import Invalid, Problem
from spec.data.limits import Budget

GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class DataFile:
    """A file as the user named it, and where its bytes lie."""

    name: str
    path: Path | str


@dataclass(frozen=True)
class Source:
    """A file at its place in the list of files."""

    index: int
    name: str
    path: Path
    budget: Budget

    @property
    def pointer(self) -> str:
        return f"/files/{self.index}"

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def zipped(self) -> bool:
        with self.path.open("rb") as file:
            return file.read(2) == GZIP

    def invalid(
        self,
        code: str,
        detail: str,
        *,
        under: str = "",
        expected: Any = None,
        got: Any = None,
        hint: str | None = None,
    ) -> Invalid:
        return Invalid(
            [self.problem(code, detail, under=under, expected=expected, got=got, hint=hint)]
        )

    def problem(
        self,
        code: str,
        detail: str,
        *,
        under: str = "",
        expected: Any = None,
        got: Any = None,
        hint: str | None = None,
    ) -> Problem:
        return Problem(
            f"{self.pointer}{under}", code, f"{self.name}: {detail}", expected, got, hint
        )

    def open(self) -> BinaryIO:
        """The bytes of the file, decompressed where it is gzip; a bomb is noticed while reading."""
        if not self.zipped:
            return self.path.open("rb")
        return io.BufferedReader(_Gunzipped(self), buffer_size=1 << 20)


class _Gunzipped(io.RawIOBase):
    def __init__(self, source: Source) -> None:
        self._source = source
        self._stored = source.size
        self._file = gzip.GzipFile(source.path, "rb")
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._guarded(lambda: self._file.readinto(buffer))
        self._read += count
        limit = self._source.budget.limits.max_decoded_bytes
        if self._read > limit:
            raise self._source.invalid(
                "too_large",
                f"decompresses to more than {limit} bytes",
                expected=f"at most {limit} bytes",
                got=f"more than {limit} bytes",
            )
        self._source.budget.ratio(self._read, self._stored, self._source.pointer)
        return count

    def _guarded(self, read: Callable[[], int]) -> int:
        try:
            return read()
        except EOFError:
            raise self._source.invalid(
                "truncated", "the gzip stream breaks off", hint="upload the file again"
            ) from None
        except (OSError, zlib.error) as error:
            raise self._source.invalid(
                "corrupt", f"the gzip stream cannot be read: {error}", hint="upload the file again"
            ) from None

    def close(self) -> None:
        self._file.close()
        super().close()


def suggestion(name: str, known: Sequence[str]) -> str | None:
    """A hint that names what was probably meant."""
    close = difflib.get_close_matches(name, known[:5000], n=1, cutoff=0.6)
    folded = [one for one in known if one.casefold() == name.strip().casefold()]
    return f"did you mean {(folded or close)[0]!r}?" if folded or close else None


def pointer_part(name: str) -> str:
    """A name as one step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
