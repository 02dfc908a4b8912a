"""Files are written whole or not at all."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.io.files import write_file


def test_the_chunks_are_joined(tmp_path: Path) -> None:
    assert write_file(tmp_path / "f", [b"ab", memoryview(b"cd")]) == 4
    assert (tmp_path / "f").read_bytes() == b"abcd"


def test_a_source_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"new"
        raise OSError("the disk is full")

    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(OSError, match="disk is full"):
        write_file(tmp_path / "f", broken())
    assert (tmp_path / "f").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_writer_killed_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    script = (
        "import os, signal, sys\n"
        "from engine.io.files import write_file\n"
        "def chunks():\n"
        "    yield b'new' * 10000\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_file(sys.argv[1], chunks())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "f")], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "f").read_bytes() == b"old"
