"""The C compiler; what it made is kept on disk.

Order: `cc`, `clang`, `ziglang` if installed; none of them means the interpreter.
`GRADWORKS_COMPILER` names one ("clang-17", "/opt/bin/gcc -m64"), or says `auto` or `none`.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from engine.backend.cpu import disk
from engine.errors import CompileError

RUNTIME = Path(__file__).parent / "runtime"
UNSET = "auto"  # what no GRADWORKS_COMPILER means
#: Headers of the runtime whose functions kernels call, and those whose functions they call.
SHARED: dict[str, tuple[str, ...]] = {
    "winograd.h": ("conv.h",),
    "flat.h": ("conv.h",),
    "attention.h": ("philox.h",),
    "gemm.h": (),
    "norm.h": (),
    "recurrent.h": (),
    "conv.h": (),
    "depthwise.h": (),
    "philox.h": (),
}
#: Headers that use vectors of 512 bits on all processors that have them, see `vectors.h`.
MASKED = ("conv.h", "flat.h", "gemm.h", "norm.h", "recurrent.h", "winograd.h")
COMPILE_SECONDS = 120
LIBRARIES = ("-lm", "-lpthread")

_PROBE = "#include <math.h>\n#include <pthread.h>\nint gw_one(void) { return 1; }\n"

#: Contraction off: a*b+c is fused only where fmaf says so, so results depend on no compiler's whim.
FLAGS = (
    "-w",
    "-std=gnu11",
    "-fPIC",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-strict-aliasing",
    "-fno-sanitize=all",
)

SPEED = ("-O3",)
#: For GCC: the parts of -O3 that kernels gain from, in two thirds of its time.
GNU_SPEED = (
    "-O2",
    "-ftree-vectorize",
    "-fvect-cost-model=dynamic",
    "-fpeel-loops",
    "-fipa-cp-clone",
    "-finline-functions",
    "--param=max-inline-insns-single=200",
    "--param=max-inline-insns-auto=30",
)


@dataclass(frozen=True)
class Toolchain:
    """A compiler that was seen to work. `native`: code may use all this processor has.

    gnu: it is GCC.
    """

    command: tuple[str, ...]
    version: str
    native: bool
    gnu: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        speed = GNU_SPEED if self.gnu else SPEED
        return (*speed, *FLAGS, "-march=native") if self.native else (*speed, *FLAGS)


def find() -> Toolchain | None:
    """The compiler to use, or None: then plans run on the interpreter.

    CompileError where GRADWORKS_COMPILER names one that does not work.
    """
    return _find(_wanted())


def absence() -> str:
    """Why `find` found none."""
    if _wanted() == "none":
        return "GRADWORKS_COMPILER is none" if os.environ.get("GRADWORKS_COMPILER") else ""
    return "no C compiler was found (cc, clang or the package ziglang)"


def _wanted() -> str:
    return os.environ.get("GRADWORKS_COMPILER", "").strip() or UNSET


@cache
def _find(wanted: str) -> Toolchain | None:
    if wanted == "none":
        return None
    for command in _candidates(wanted):
        found = probe(command)
        if found is not None:
            return found
    if wanted != "auto":
        raise CompileError(f"GRADWORKS_COMPILER is {wanted!r}, which does not compile C here")
    return None


def _candidates(wanted: str) -> list[tuple[str, ...]]:
    if wanted != "auto":
        return [tuple(shlex.split(wanted))]
    known: list[tuple[str, ...]] = [
        (path,) for name in ("cc", "clang") if (path := shutil.which(name))
    ]
    if importlib.util.find_spec("ziglang") is not None:
        known.append((sys.executable, "-m", "ziglang", "cc"))
    return known


def probe(command: tuple[str, ...]) -> Toolchain | None:
    """Compile a line and run it: a compiler without headers or linker is no compiler."""
    try:
        version = subprocess.run(
            [*command, "--version"], capture_output=True, check=True, timeout=30
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError):
        return None
    first = (version.splitlines() or [""])[0]
    for native in (True, False):
        toolchain = Toolchain(command, first, native, "Free Software Foundation" in version)
        with suppress(CompileError, OSError):
            if load(toolchain, _PROBE).gw_one() == 1:
                return toolchain
    return None


def load(toolchain: Toolchain, *sources: str) -> ctypes.CDLL:
    """The library of some sources, compiled or from the cache."""
    return open_library(build(toolchain, *sources))


def start(toolchain: Toolchain) -> ctypes.CDLL:
    """The runtime."""
    return load(toolchain, (RUNTIME / "runtime.c").read_text())


def prepare(toolchain: Toolchain) -> None:
    """Compile all that libraries of kernels share, which else waits for a plan that needs it."""
    with ThreadPoolExecutor(_workers()) as pool:
        list(pool.map(partial(_shared, toolchain), SHARED))


def _workers() -> int:
    return os.cpu_count() or 1


def _shared(toolchain: Toolchain, header: str) -> Path:
    """The object with the functions of a header in SHARED, compiled or from the cache."""
    source = _bodies(header)
    file = f"{key(toolchain, source)}.o"
    if disk.find(file) is not None:
        return disk.usable_folder() / file
    return disk.keep(file, lambda path: _run(_object(toolchain, str(path)), source))


def _bodies(header: str) -> str:
    """A unit with the functions of a header; those it calls are copies of its own."""
    lines = ["#define GW_LIBRARY", "#define GW_FURTHER"]
    if header in MASKED:
        lines.append("#define GW_MASKS")
    lines += ['#include "intrinsics.h"', '#include "gradworks.h"']
    lines += ["#undef GW_SHARED", "#define GW_SHARED static"]
    lines += [f'#include "{name}"' for name in SHARED[header]]
    lines += ["#undef GW_SHARED", "#define GW_SHARED GW_HIDDEN", f'#include "{header}"']
    return "\n".join(lines) + "\n"


def open_library(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise CompileError(f"{path} cannot be loaded: {error}") from error


def build(toolchain: Toolchain, *sources: str) -> Path:
    """The shared object of some sources, compiled or from the cache; a broken one is made again.

    Each source is a translation unit of its own; they are compiled side by side.
    """
    name = f"{key(toolchain, *sources)}.so"
    if disk.find(name) is not None:
        return disk.usable_folder() / name
    return disk.keep(name, lambda path: _compile(toolchain, sources, path))


def known(name: str) -> Path | None:
    """The shared object of that key, if the cache has it whole."""
    return disk.usable_folder() / f"{name}.so" if disk.find(f"{name}.so") is not None else None


def key(toolchain: Toolchain, *sources: str) -> str:
    """All that the object depends on: sources, runtime headers, compiler, flags, processor."""
    digest = hashlib.sha256()
    for part in (*sources, toolchain.version, *toolchain.command, *toolchain.flags, _processor()):
        digest.update(part.encode() + b"\0")
    digest.update(_runtime_digest())
    return digest.hexdigest()[:40]


def _compile(toolchain: Toolchain, sources: tuple[str, ...], target: Path) -> None:
    headers = [
        header for header in SHARED if any(f'#include "{header}"' in source for source in sources)
    ]
    linked = [*toolchain.command, *toolchain.flags, "-shared", "-o", str(target)]
    if len(sources) == 1 and not headers:
        _run([*linked, f"-I{RUNTIME}", "-x", "c", "-", *LIBRARIES], sources[0])
        return
    with (
        tempfile.TemporaryDirectory(dir=target.parent, suffix=".part") as folder,
        ThreadPoolExecutor(_workers()) as pool,
    ):
        shared = [pool.submit(_shared, toolchain, header) for header in headers]
        objects = [f"{folder}/{number}.o" for number in range(len(sources))]
        commands = [_object(toolchain, name) for name in objects]
        list(pool.map(_run, commands, sources))
        found = [str(one.result()) for one in shared]
        _run([*linked, *objects, *found, *LIBRARIES], "")


def _object(toolchain: Toolchain, target: str) -> list[str]:
    """The command that compiles what it reads to an object."""
    return [
        *toolchain.command, *toolchain.flags, f"-I{RUNTIME}", "-c", "-x", "c", "-", "-o", target,
    ]  # fmt: skip


def _run(command: list[str], source: str) -> None:
    try:
        done = subprocess.run(
            command,
            input=source.encode(),
            capture_output=True,
            check=False,
            timeout=COMPILE_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CompileError(f"{command[0]} could not be run: {error}") from error
    if done.returncode != 0:
        text = done.stderr.decode(errors="replace").strip()
        raise CompileError(f"{command[0]} refused generated code: {text[-2000:]}")


@cache
def _processor() -> str:
    """What -march=native looks at: an object must not wander to a processor that lacks it."""
    features = ""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                features = line
                break
    return f"{platform.machine()} {features}"


@cache
def _runtime_digest() -> bytes:
    digest = hashlib.sha256()
    for path in sorted(RUNTIME.iterdir()):
        digest.update(path.read_bytes())
    return digest.digest()
