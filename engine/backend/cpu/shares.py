"""The loop over what one part of a launch takes."""

from __future__ import annotations


def share(name: str, count: int, size: int) -> str:
    """The head of a loop over `size` of `count`, those of this part."""
    start = f"part * {size}"
    return f"for (int64_t {name} = {start}; {name} < GW_MIN({start} + {size}, {count}); {name}++)"
