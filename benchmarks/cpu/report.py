"""What the times mean: ratios, agreement, targets; as rows of JSON and as a table."""

from __future__ import annotations

from typing import Any

from benchmarks.cpu.race import Results
from benchmarks.cpu.rows import COLD_MS, WARM_MS, Row

#: How far a loss may be from PyTorch's, relatively; an output, relatively to the largest.
TOLERANCE = 1e-4
Json = dict[str, Any]


def disagreement(ours: list[list[float]], theirs: list[list[float]]) -> float:
    """The largest difference of any step, relative to the largest number of theirs in it.

    inf where the numbers of steps or of results differ, or one is not finite.
    """
    if len(ours) != len(theirs) or not ours:
        return float("inf")
    worst = 0.0
    for mine, other in zip(ours, theirs, strict=True):
        if len(mine) != len(other):
            return float("inf")
        size = max(map(abs, other))
        apart = max(abs(a - b) for a, b in zip(mine, other, strict=True))
        relative = apart / size if size else apart
        if not relative <= worst:
            worst = relative if relative == relative else float("inf")
    return worst


def row_json(row: Row, found: Results, compile_ms: dict[str, float]) -> Json:
    """One row: our time, the peers' and what follows from them."""
    ours, peers = found["ours"], {n: r for n, r in found.items() if n != "ours"}
    times = {name: result.best_ms for name, result in peers.items()}
    best = min((n for n, ms in times.items() if ms is not None), key=lambda n: times[n], default="")
    agreement = {
        name: disagreement(result.results, found["torch_eager"].results)
        for name, result in found.items()
        if result.results and found["torch_eager"].results and name != "torch_eager"
    }
    counts = ours.best_ms is not None and agreement.get("ours", float("inf")) <= TOLERANCE
    ratios = {name: ratio(ms, ours.best_ms) for name, ms in times.items()}
    ratio_best = ratios.get(best)
    return {
        "name": row.name,
        "title": row.title,
        "ours_ms": ours.best_ms,
        "peers": times,
        "best_peer": best or None,
        "best_peer_ms": times.get(best),
        "ratio_best": ratio_best,
        "ratios": ratios,
        "target": row.target,
        "targets": dict(row.targets),
        "agreement": agreement,
        "counts": counts,
        "held": counts and holds(row, ratio_best, ratios),
        "compile_ms": compile_ms,
        "compile_held": compile_holds(compile_ms),
        "median_ms": {name: result.median_ms for name, result in found.items()},
        "ratio_median": ratio(found[best].median_ms if best else None, ours.median_ms),
        "settings": {name: result.variant for name, result in found.items()},
        "tried_ms": {name: result.variants for name, result in peers.items() if result.variants},
        "backend": ours.backend,
        "errors": {name: result.error for name, result in found.items() if result.error},
    }


def ratio(theirs: float | None, ours: float | None) -> float | None:
    """Peer time over our time: above 1 we are faster."""
    return None if theirs is None or not ours else theirs / ours


def holds(row: Row, best: float | None, ratios: dict[str, float | None]) -> bool:
    """Whether every target of the row is reached; a peer without a time holds nothing."""
    wanted = [(best, row.target), *((ratios.get(name), least) for name, least in row.targets)]
    complete = all(ratios.get(name) is not None for name in row.peers)
    return complete and all(got is not None and got >= least for got, least in wanted)


def compile_holds(found: dict[str, float]) -> bool:
    return bool(found) and found["cold_ms"] <= COLD_MS and found["warm_ms"] <= WARM_MS


def table(found: list[Json]) -> str:
    """The rows as text, one line each, and a line for everything that went wrong."""
    peers = ("torch_eager", "torch_compile", "jax", "onnxruntime")
    head = ("work", "ours", *peers, "ratio", "target", "", "cold", "warm")
    lines = [head, *(cells(row, peers) for row in found)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    text = [
        "  ".join(c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(pairs)).rstrip()
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    ]
    return "\n".join([*text, *(note for row in found for note in notes(row))])


def cells(row: Json, peers: tuple[str, ...]) -> tuple[str, ...]:
    compiled = row["compile_ms"]
    state = "held" if row["held"] else "short" if row["counts"] else "does not count"
    return (
        row["title"],
        milliseconds(row["ours_ms"]),
        *(milliseconds(row["peers"].get(name)) for name in peers),
        "-" if row["ratio_best"] is None else f"{row['ratio_best']:.2f}×",
        f"{row['target']:g}×",
        state,
        milliseconds(compiled.get("cold_ms")),
        milliseconds(compiled.get("warm_ms")),
    )


def notes(row: Json) -> list[str]:
    """What the table has no room for."""
    found = [f"{row['name']}: {name} FAILED: {error}" for name, error in row["errors"].items()]
    for name, apart in row["agreement"].items():
        if apart > TOLERANCE:
            found.append(f"{row['name']}: {name} is {apart:.1e} from torch_eager, over {TOLERANCE}")
    for name, least in row["targets"].items():
        got = row["ratios"].get(name)
        if got is not None:
            found.append(f"{row['name']}: {got:.2f}× {name}, target {least:g}×")
    return found


def milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"
