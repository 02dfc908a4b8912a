import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.cache import Cache, CorruptBlob

DATA = [b"first piece ", b"second piece"]
NAME = hashlib.sha256(b"".join(DATA)).hexdigest()


class Source:
    def __init__(self, pieces=DATA):
        self.pieces, self.asked = pieces, 0

    def __call__(self):
        self.asked += 1
        return iter(self.pieces)


@pytest.fixture
def cache(tmp_path):
    cache = Cache(tmp_path / "cache", max_bytes=1000)
    yield cache
    cache.close()


def put(cache, data):
    return cache.fetch(hashlib.sha256(data).hexdigest(), lambda: [data])


def test_a_file_is_fetched_once(cache):
    source = Source()

    first = cache.fetch(NAME, source)
    second = cache.fetch(NAME, source)

    assert first == second
    assert first.read_bytes() == b"".join(DATA)
    assert source.asked == 1


def test_a_damaged_file_is_fetched_again(cache):
    source = Source()
    path = cache.fetch(NAME, source)
    cache.close()
    path.write_bytes(b"first piece secomd piece")

    assert cache.fetch(NAME, source).read_bytes() == b"".join(DATA)
    assert source.asked == 2


def test_wrong_bytes_are_refused_and_leave_nothing(cache):
    with pytest.raises(CorruptBlob, match=NAME):
        cache.fetch(NAME, Source([b"something else"]))

    assert [path for path in cache.directory.rglob("*") if path.is_file()] == []


def test_a_source_that_breaks_leaves_nothing(cache):
    def broken():
        yield DATA[0]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        cache.fetch(NAME, broken)

    assert [path for path in cache.directory.rglob("*") if path.is_file()] == []


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    cache = Cache(tmp_path, max_bytes=250)
    old, middle, new = (put(cache, letter * 100) for letter in (b"a", b"b", b"c"))
    cache.close()
    for age, path in enumerate((new, middle, old)):
        os.utime(path, (1_000_000 - age, 1_000_000 - age))

    latest = put(cache, b"d" * 100)

    assert [path.exists() for path in (old, middle, new, latest)] == [False, False, True, True]
    cache.close()


def test_a_file_in_use_stays(tmp_path):
    cache, other = Cache(tmp_path, max_bytes=150), Cache(tmp_path, max_bytes=150)
    held = put(other, b"a" * 100)
    os.utime(held, (1, 1))

    put(cache, b"b" * 100)

    assert held.exists()
    other.close()
    cache.close()


def test_two_processes_fetch_the_same_file_at_once(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from worker.cache import Cache\n"
        "def source():\n"
        "    for _ in range(50):\n"
        "        time.sleep(0.002); yield b'x' * 1000\n"
        "path = Cache(Path(sys.argv[1]), max_bytes=10**6).fetch(sys.argv[2], source)\n"
        "print(path.stat().st_size)"
    )
    name = hashlib.sha256(b"x" * 50_000).hexdigest()
    command = [sys.executable, "-c", script, str(tmp_path), name]

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: subprocess.check_output(command, timeout=30), range(3)))

    assert [int(result) for result in results] == [50_000] * 3
    assert [path.name for path in tmp_path.glob("??/*")] == [name]
