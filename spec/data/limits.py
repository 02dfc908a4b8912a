"""How much a dataset may take. Sizes are counted by us: what a file says of itself may lie."""

from dataclasses import dataclass

from core.errors import Invalid, Problem
from core.settings import Settings

MIB = 2**20
GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """Caps on one dataset; bytes are counted after decompression."""

    max_files: int = 1000
    max_rows: int = 100_000_000
    max_columns: int = 100_000
    max_decoded_bytes: int = 4 * GIB
    max_line_bytes: int = 4 * MIB
    max_name_length: int = 200
    max_members: int = 10_000
    max_ratio: int = 200
    ratio_free_bytes: int = 64 * MIB

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        return cls(
            max_rows=settings.max_rows,
            max_columns=settings.max_columns,
            max_decoded_bytes=settings.max_decoded_bytes,
        )


class Budget:
    """What is left of the limits while the files of one dataset are read, one after another."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._rows = 0
        self._bytes = 0

    def rows(self, count: int, pointer: str) -> None:
        self._rows += count
        if self._rows > self.limits.max_rows:
            raise over(pointer, "rows", self._rows, self.limits.max_rows)

    def columns(self, count: int, pointer: str) -> None:
        if count > self.limits.max_columns:
            raise over(pointer, "columns", count, self.limits.max_columns)

    def bytes(self, count: int, pointer: str) -> None:
        self._bytes += count
        if self._bytes > self.limits.max_decoded_bytes:
            raise over(pointer, "decoded bytes", self._bytes, self.limits.max_decoded_bytes)

    def ratio(self, decoded: int, stored: int, pointer: str) -> None:
        """Refuse content that grows beyond belief when decompressed."""
        if decoded <= self.limits.ratio_free_bytes:
            return
        if decoded > self.limits.max_ratio * max(stored, 1):
            raise Invalid(
                [
                    Problem(
                        pointer,
                        "compression_bomb",
                        f"{stored} stored bytes decompress to more than {decoded} bytes",
                        expected=f"at most {self.limits.max_ratio} times the stored size",
                        got=f"{decoded // max(stored, 1)} times",
                        hint="store the file with less compression",
                    )
                ]
            )


def over(pointer: str, what: str, got: int, limit: int) -> Invalid:
    return Invalid(
        [
            Problem(
                pointer,
                "too_large",
                f"the dataset has more than {limit} {what}",
                expected=f"at most {limit} {what}",
                got=got,
                hint="use fewer rows or columns, or ask the operator to raise the limit",
            )
        ]
    )
