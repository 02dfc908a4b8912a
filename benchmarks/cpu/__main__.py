"""The compiled CPU step beside PyTorch, torch.compile, JAX and, for inference, onnxruntime.

    python -m benchmarks.cpu [--json FILE] [--rows NAME …] [--rounds N] [--quick]

Peers run in processes of their own and take turns round by round; a time is the least over the
rounds. Each is given its best setting, which a short trial finds. A row counts only where the
losses of 50 steps (or the outputs) agree with PyTorch's to 1e-4. Leaves with 1 where a row could
not be run or does not count; a target that is missed is reported, and is no failure of the run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.cpu import machine, race, rows
from benchmarks.cpu.report import Json, notes, row_json, table
from benchmarks.cpu.rows import Row
from benchmarks.cpu.variants import variants


def main() -> int:
    chosen = arguments()
    machine.share_processors(chosen.threads)
    effort = race.Effort(chosen.rounds)
    if chosen.quick:
        effort = race.Effort(rounds=3, seconds=0.05, all_variants=False)
    head = machine.describe(chosen.threads)
    print(json.dumps(head), flush=True)
    found = []
    for row in map(rows.find, chosen.rows or [row.name for row in rows.ROWS]):
        print(f"{row.name} …", file=sys.stderr, flush=True)
        found.append(measure(row, effort, chosen.threads))
        for line in (json.dumps(short(found[-1])), *notes(found[-1])):
            print(line, flush=True)
        if chosen.json:
            chosen.json.write_text(json.dumps({"machine": head, "rows": found}, indent=2) + "\n")
    print(table(found))
    return 0 if all(row["counts"] and not row["errors"] for row in found) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in rows.ROWS])
    parser.add_argument("--rounds", type=int, default=race.Effort.rounds)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one setting a peer, three rounds")
    return parser.parse_args()


def measure(row: Row, effort: race.Effort, threads: int) -> Json:
    peers = {name: variants(name, row) for name in ("ours", *row.peers)}
    found = race.run(row, peers, effort, threads)
    compiled = {}
    if not found["ours"].error:
        compiled = race.compile_times(row, threads)
    return row_json(row, found, compiled)


def short(row: Json) -> Json:
    return {name: row[name] for name in ("name", "ours_ms", "peers", "ratio_best", "compile_ms")}


if __name__ == "__main__":
    sys.exit(main())
