"""The loop over what one part of a launch takes."""

from __future__ import annotations

from engine.backend.cpu.functions import loose


def share(name: str, count: int, size: int) -> str:
    """The head of a loop over `size` of `count`, those of this part."""
    start, stop = part_of(count, size)
    return f"for (int64_t {name} = {start}; {name} < {stop}; {name}++)"


def part_of(count: int, size: int, part: str = "part") -> tuple[str, str]:
    """Where a part that takes `size` of `count` begins and ends."""
    start = f"{part} * {loose(size)}"
    return start, f"GW_MIN({start} + {loose(size)}, {loose(count)})"
