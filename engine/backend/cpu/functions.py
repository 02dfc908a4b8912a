"""Functions of C, each for all bodies that differ in loose numbers alone.

A loose number is one that C need not know: the length of a loop, a stride, how much a part takes.
Where bodies that are otherwise alike have different ones, they are read behind the addresses of
the launch; all others stand in the text.
"""

from __future__ import annotations

import re
from functools import cached_property

#: A whole number that is neither part of a name or of another number, as an exponent is, nor a
#: length or an index.
_WHOLE = re.compile(r"(?<![\w.\[@])(?<!p[+-])\d+(?![\w.\]@])")
_LOOSE = re.compile(r"@(-?\d+)@")
_FIXED = ("static ", "enum ", "#")  # how lines begin whose numbers C must know

Numbers = tuple[int, ...]


def loose(number: int) -> str:
    """A number in a body that C need not know."""
    return f"@{number}@"


def loosened(body: str) -> str:
    """A body whose numbers are all loose: one that does little but call functions of a header."""
    lines = [
        line if line.startswith(_FIXED) else _WHOLE.sub(r"@\g<0>@", line)
        for line in body.split("\n")
    ]
    return "\n".join(lines)


def taken(body: str) -> tuple[str, Numbers]:
    """A body without its loose numbers, and these."""
    pieces = _LOOSE.split(body)
    return "@".join(pieces[::2]), tuple(map(int, pieces[1::2]))


class Function:
    """A function of C, for all phases that are one body.

    body: without its loose numbers. first: where in `p` those are that are read.
    """

    def __init__(self, name: str, body: str, first: int, headers: tuple[str, ...]) -> None:
        self.name, self.body, self.first, self.headers = name, body, first, headers
        self._given: dict[Numbers, None] = {}
        self._single = True

    def enter(self, numbers: Numbers, parts: int) -> None:
        """It is called with these numbers, for so many parts."""
        self._given[numbers] = None
        self._single = self._single and parts == 1

    def read(self, numbers: Numbers) -> Numbers:
        """Those of the numbers of a phase that are read, in their order."""
        return tuple([numbers[place] for place in self._read.values()])

    def text(self) -> str:
        names = {column: f"n{index}" for index, column in enumerate(self._read)}
        known = [names.get(column, str(column[0])) for column in self._columns]
        first, *others = self.body.split("@")
        body = first + "".join([n + text for n, text in zip(known, others, strict=True)])
        lines = [
            f"const int64_t {name} = (int64_t)p[{self.first + index}];"
            for index, name in enumerate(names.values())
        ]
        part = "part"
        if self._single:
            part = "only"
            lines.append("const int64_t part = 0;\n(void)part;")
        head = f"GW_EXPORT void {self.name}(char* const* p, int64_t {part}) {{"
        return "\n".join([head, f"(void)p; (void){part};", *lines, body, "}"])

    @cached_property
    def _columns(self) -> list[Numbers]:
        """For every place, the numbers that stand there."""
        return list(zip(*self._given, strict=True))

    @cached_property
    def _read(self) -> dict[Numbers, int]:
        """Columns whose numbers differ, and the first place of each."""
        found: dict[Numbers, int] = {}
        for place, column in enumerate(self._columns):
            if any(number != column[0] for number in column):
                found.setdefault(column, place)
        return found
