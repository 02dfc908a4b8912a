"""The C compiler, and a disk cache of what it made.

Order: `cc`, `clang`, `ziglang` if installed; none of them means the interpreter.
`GRADWORKS_COMPILER` names one ("clang-17", "/opt/bin/gcc -m64"), or says `auto` or `none`.
`GRADWORKS_CACHE` names the folder of the cache, else it lies in `~/.cache/gradworks`.
"""

from __future__ import annotations

import atexit
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
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine.errors import CompileError

RUNTIME = Path(__file__).parent / "runtime"
CACHE_BYTES = 512 << 20
UNSET = "auto"  # what no GRADWORKS_COMPILER means
COMPILE_SECONDS = 120

_PROBE = "#include <math.h>\n#include <pthread.h>\nint gw_one(void) { return 1; }\n"

#: Contraction off: a*b+c is fused only where fmaf says so, so results depend on no compiler's whim.
FLAGS = (
    "-O3",
    "-std=gnu11",
    "-fPIC",
    "-shared",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-strict-aliasing",
    "-fno-sanitize=all",
)


@dataclass(frozen=True)
class Toolchain:
    """A compiler that was seen to work. `native`: code may use all this processor has."""

    command: tuple[str, ...]
    version: str
    native: bool

    @property
    def flags(self) -> tuple[str, ...]:
        return (*FLAGS, "-march=native") if self.native else FLAGS


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
        toolchain = Toolchain(command, first, native)
        with suppress(CompileError, OSError):
            if load(toolchain, _PROBE).gw_one() == 1:
                return toolchain
    return None


def load(toolchain: Toolchain, source: str) -> ctypes.CDLL:
    """The library of a source, compiled or from the cache."""
    path = build(toolchain, source)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise CompileError(f"{path} cannot be loaded: {error}") from error


def build(toolchain: Toolchain, source: str) -> Path:
    """The shared object of a source, compiled or from the cache; a broken one is made again.

    Two processes may ask at once: each writes a file of its own, which then takes the name.
    """
    folder = _usable(cache_folder())
    path = folder / f"{key(toolchain, source)}.so"
    if _is_whole(path):
        with suppress(OSError):
            os.utime(path)
        return path
    descriptor, name = tempfile.mkstemp(dir=folder, suffix=".part")
    os.close(descriptor)
    part = Path(name)
    try:
        _compile(toolchain, source, part)
        with part.open("ab") as file:
            file.write(_seal(part.read_bytes()))
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _shrink(folder, keep=path)
    return path


def _seal(content: bytes) -> bytes:
    """What stands behind an object in its file: a file cut short would crash who loads it."""
    return b"gradworks" + hashlib.sha256(content).digest()


def _is_whole(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    size = len(_seal(b""))
    return content[-size:] == _seal(content[:-size])


def key(toolchain: Toolchain, source: str) -> str:
    """All that the object depends on: source, runtime headers, compiler, flags, processor."""
    digest = hashlib.sha256()
    for part in (source, toolchain.version, *toolchain.command, *toolchain.flags, _processor()):
        digest.update(part.encode() + b"\0")
    digest.update(_runtime_digest())
    return digest.hexdigest()[:40]


def cache_folder() -> Path:
    named = os.environ.get("GRADWORKS_CACHE")
    if named:
        return Path(named) / "c"
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "gradworks" / "c"


def _usable(folder: Path) -> Path:
    """The folder, or one for this process alone where it cannot be written to."""
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return _private_folder()


@cache
def _private_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="gradworks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _compile(toolchain: Toolchain, source: str, target: Path) -> None:
    command = [*toolchain.command, *toolchain.flags, f"-I{RUNTIME}", "-x", "c", "-"]
    try:
        done = subprocess.run(
            [*command, "-o", str(target), "-lm", "-lpthread"],
            input=source.encode(),
            capture_output=True,
            check=False,
            timeout=COMPILE_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CompileError(f"{toolchain.command[0]} could not be run: {error}") from error
    if done.returncode != 0:
        text = done.stderr.decode(errors="replace").strip()
        raise CompileError(f"{toolchain.command[0]} refused generated code: {text[-2000:]}")


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


def _shrink(folder: Path, keep: Path) -> None:
    """Drop what was used longest ago until the cache is within its size."""
    with suppress(OSError):
        known = sorted((p.stat().st_mtime, p.stat().st_size, p) for p in folder.glob("*.so"))
        total = sum(size for _, size, _ in known)
        for _, size, path in known:
            if total <= CACHE_BYTES:
                return
            if path != keep:
                path.unlink(missing_ok=True)
                total -= size
