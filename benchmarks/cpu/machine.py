"""The head of the report: when, on what, with which versions."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("gradworks", "numpy", "torch", "jax", "jaxlib", "onnxruntime")


def describe(threads: int) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: installed(name) for name in PACKAGES},
    }


def processor() -> str:
    """The name of the processor, with what its vectors can do."""
    lines: list[str] = []
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    widest = next((flag for flag in ("avx512f", "avx2", "avx") if flag in flags), "")
    return " ".join(filter(None, (named or platform.processor() or platform.machine(), widest)))


def installed(name: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(name)
    return None


def share_processors(threads: int) -> None:
    """Keep this process and its children to as many processors as each peer has threads."""
    if hasattr(os, "sched_setaffinity"):
        usable = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, usable[:threads])
