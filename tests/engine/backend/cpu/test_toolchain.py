"""Compilers and the cache of what they made."""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.backend.cpu import disk, toolchain
from engine.errors import CompileError
from tests.engine.backend.cpu.programs import compiler

SOURCE = "int answer(void) { return 42; }\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    compiler()  # its probe has gone elsewhere
    monkeypatch.setenv("GRADWORKS_CACHE", str(tmp_path))
    return tmp_path / "c"


def test_a_source_is_compiled_once(folder: Path) -> None:
    first = toolchain.build(compiler(), SOURCE)
    stamp = first.stat().st_ino
    assert toolchain.build(compiler(), SOURCE) == first
    assert first.stat().st_ino == stamp
    assert toolchain.load(compiler(), SOURCE).answer() == 42
    assert list(folder.iterdir()) == [first]


def test_another_source_is_another_file(folder: Path) -> None:
    one, other = (toolchain.build(compiler(), s) for s in (SOURCE, SOURCE.replace("42", "43")))
    assert one != other


def test_the_key_knows_headers_flags_and_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = compiler()
    keys = {toolchain.key(chain, SOURCE)}
    keys.add(toolchain.key(toolchain.Toolchain(chain.command, "another", chain.native), SOURCE))
    keys.add(toolchain.key(toolchain.Toolchain(chain.command, chain.version, False), SOURCE))
    monkeypatch.setattr(toolchain, "_runtime_digest", lambda: b"other headers")
    keys.add(toolchain.key(chain, SOURCE))
    assert len(keys) == (4 if chain.native else 3)


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", None])
def test_a_broken_file_is_compiled_again(folder: Path, damage: bytes | None) -> None:
    path = toolchain.build(compiler(), SOURCE)
    path.write_bytes(path.read_bytes()[:2000] if damage is None else damage)
    assert toolchain.load(compiler(), SOURCE).answer() == 42


def test_every_header_stands_beside_every_other() -> None:
    """A plan may need any of them in one translation unit."""
    names = sorted(path.name for path in toolchain.RUNTIME.glob("*.h"))
    source = "\n".join(['#include "gradworks.h"', *(f'#include "{name}"' for name in names)])
    assert "conv.h" in names
    assert toolchain.load(compiler(), source, f"#define GW_FURTHER\n{source}").gw_bind


def test_a_library_of_several_sources_is_one(folder: Path) -> None:
    other = "extern int answer(void);\nint twice(void) { return 2 * answer(); }\n"
    assert toolchain.load(compiler(), SOURCE, other).twice() == 84
    assert [path.suffix for path in folder.iterdir()] == [".so"]
    with pytest.raises(CompileError, match="undeclared"):
        toolchain.build(compiler(), SOURCE, "int wrong(void) { return question; }")
    assert [path.suffix for path in folder.iterdir()] == [".so"]


WORDS = """#include "gradworks.h"
#include "philox.h"
GW_EXPORT uint32_t word(void) { uint32_t w[64]; gw_philox(0, 0, 0, 0, w); return w[0]; }
"""


def test_what_kernels_share_is_compiled_once(folder: Path) -> None:
    toolchain.build(compiler(), WORDS)
    (shared,) = folder.glob("*.o")
    stamp = shared.stat().st_ino
    library = toolchain.load(compiler(), WORDS.replace("word(", "again("))
    library.again.restype = ctypes.c_uint32
    assert library.again() == 0x6627E8D5  # the first word of Philox4x32-10 for zeros
    assert [path.stat().st_ino for path in folder.glob("*.o")] == [stamp]


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", None])
def test_what_kernels_share_is_compiled_again_where_it_is_broken(
    folder: Path, damage: bytes | None
) -> None:
    toolchain.prepare(compiler())
    shared = sorted(folder.glob("*.o"))
    assert len(shared) == len(toolchain.SHARED)
    for path in shared:
        path.write_bytes(path.read_bytes()[:2000] if damage is None else damage)
    assert toolchain.load(compiler(), WORDS).word
    assert any(disk.find(path.name) is not None for path in shared)


def test_every_shared_function_has_a_body(folder: Path) -> None:
    """Kernels may call any that a header names."""
    pattern = r"^GW_SHARED \w+ (\w+)\("
    for header in toolchain.SHARED:
        names = re.findall(pattern, (toolchain.RUNTIME / header).read_text(), re.MULTILINE)
        calls = "".join(f"GW_EXPORT void* a_{name}(void) {{ return {name}; }}\n" for name in names)
        text = f'#include "gradworks.h"\n#include "{header}"\n{calls}'
        library = toolchain.load(compiler(), text)
        assert names
        assert all(hasattr(library, f"a_{name}") for name in names)


def test_headers_that_call_each_other_go_together(folder: Path) -> None:
    """Each has copies of its own of what it calls."""
    included = "".join(f'#include "{header}"\n' for header in toolchain.SHARED)
    text = f'#include "gradworks.h"\n{included}GW_EXPORT int two(void) {{ return 2; }}'
    assert toolchain.load(compiler(), text).two() == 2


def test_a_folder_that_cannot_be_used_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GRADWORKS_CACHE", str(tmp_path / "file"))
    assert toolchain.load(compiler(), SOURCE).answer() == 42


def test_code_that_does_not_compile_is_an_error_with_the_compilers_words(folder: Path) -> None:
    with pytest.raises(CompileError, match="undeclared"):
        toolchain.build(compiler(), "int answer(void) { return question; }")
    assert list(folder.iterdir()) == []


def test_the_cache_drops_what_was_used_longest_ago(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [toolchain.build(compiler(), SOURCE.replace("42", str(number))) for number in range(3)]
    for age, path in enumerate(paths):
        os.utime(path, (1000 + age, 1000 + age))
    monkeypatch.setattr(disk, "CACHE_BYTES", 2 * paths[0].stat().st_size)
    newest = toolchain.build(compiler(), SOURCE)
    assert set(folder.iterdir()) == {newest, paths[2]}


def test_processes_may_ask_for_the_same_at_once(tmp_path: Path) -> None:
    code = (
        "from engine.backend.cpu import toolchain as t; from sys import argv\n"
        "for n in range(6):\n"
        "    source = 'int answer(void) { return %d; }' % n\n"
        f"    assert t.load(t.probe({compiler().command!r}), source).answer() == n\n"
    )
    environment = {**os.environ, "GRADWORKS_CACHE": str(tmp_path)}
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in running:
        _, told = process.communicate(timeout=100)
        assert (process.returncode, told) == (0, b"")
    assert {path.suffix for path in (tmp_path / "c").iterdir()} == {".so"}


def test_the_environment_names_a_compiler_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADWORKS_COMPILER", "none")
    assert toolchain.find() is None
    assert "GRADWORKS_COMPILER" in toolchain.absence()
    monkeypatch.setenv("GRADWORKS_COMPILER", "no-such-compiler-here")
    with pytest.raises(CompileError, match="no-such-compiler-here"):
        toolchain.find()
    monkeypatch.setenv("GRADWORKS_COMPILER", compiler().command[0])
    found = toolchain.find()
    assert found is not None
    assert found.command == compiler().command


def test_a_compiler_without_native_flags_is_used_without_them(tmp_path: Path) -> None:
    """One that refuses -march=native, as some cross compilers do."""
    script = tmp_path / "cc"
    real = compiler().command[0]
    script.write_text(
        f'#!/bin/sh\nfor a in "$@"; do [ "$a" = -march=native ] && exit 1; done\nexec {real} "$@"\n'
    )
    script.chmod(0o755)
    found = toolchain.probe((str(script),))
    assert found is not None
    assert not found.native
    assert toolchain.load(found, SOURCE).answer() == 42


@pytest.mark.parametrize("name", ["clang", "ziglang"])
def test_other_compilers_work(name: str) -> None:
    pytest.importorskip("ziglang") if name == "ziglang" else None
    command = ("clang",) if name == "clang" else (sys.executable, "-m", "ziglang", "cc")
    found = toolchain.probe(command)
    if found is None and name == "clang":
        pytest.skip("clang is not installed")
    assert found is not None
    text = (toolchain.RUNTIME / "runtime.c").read_text()
    assert toolchain.load(found, text).gw_execute
