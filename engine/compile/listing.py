"""An explanation of a step as text for people."""

from __future__ import annotations

from collections.abc import Iterator

from engine.compile.explain import BlockLine, Explanation, KernelLine, Stage


def text(found: Explanation) -> str:
    """Passes, kernels, arena and totals, a table each."""
    parts = [_passes(found.stages), _kernels(found), _arena(found), _totals(found)]
    return "\n\n".join("\n".join(part) for part in parts)


def _passes(stages: list[Stage]) -> Iterator[str]:
    yield "passes"
    for stage in stages:
        most = ", ".join(f"{count} {name}" for name, count in [*stage.operations.items()][:6])
        yield f"  {stage.name:<15}{stage.nodes:>6} nodes  {stage.constants:>4} constants  {most}"
        if stage.listing is not None:
            yield from (f"    {line}" for line in stage.listing.splitlines())


def _kernels(found: Explanation) -> Iterator[str]:
    timed = any(line.seconds is not None for line in found.kernels)
    yield f"kernels  (FLOPs, bytes{', microseconds' if timed else ''})"
    yield from (_kernel(line, timed) for line in found.kernels)
    yield from _more(found.left_out.get("kernels", 0))


def _kernel(line: KernelLine, timed: bool) -> str:
    spent = f"{(line.seconds or 0.0) * 1e6:>10,.1f}" if timed else ""
    what = f"{line.name}[{' '.join(line.operations)}]" if line.operations else line.name
    types = f"({', '.join(line.inputs)}) -> {', '.join(line.outputs)}"
    where = f"{line.phase} {line.module}".strip()
    kind = line.runs_as or "-"
    cost = f"{line.flops:>14,}{line.bytes:>13,}{spent}"
    return f"{line.index:>5} {kind:<9}{cost}  {what} {types}  # {where}"


def _arena(found: Explanation) -> Iterator[str]:
    yield "arena  (offset, bytes, from launch to launch)"
    yield from map(_block, found.arena)
    yield from _more(found.left_out.get("blocks", 0))


def _block(line: BlockLine) -> str:
    return f"{line.offset:>12,}{line.bytes:>12,}  {line.first:>5} .. {line.last:<5} {line.tensor}"


def _more(count: int) -> Iterator[str]:
    if count:
        yield f"  … and {count:,} more"


def _totals(found: Explanation) -> Iterator[str]:
    yield "totals"
    for name, value in found.totals.items():
        shown = f"{value:.6f}" if isinstance(value, float) else f"{value:,}"
        yield f"  {name:<16}{shown}"
