import re
import time

from core.ids import ALPHABET, base32, new_id


def test_a_name_says_what_it_names():
    assert re.fullmatch(rf"job_[{ALPHABET}]{{26}}", new_id("job"))


def test_names_differ():
    assert len({new_id("job") for _ in range(10_000)}) == 10_000


def test_names_sort_by_time():
    first = new_id("job")
    time.sleep(0.002)

    assert first < new_id("job")


def test_a_name_holds_its_time():
    before = time.time_ns() // 1_000_000
    name = new_id("job").removeprefix("job_")
    value = 0
    for letter in name:
        value = value * 32 + ALPHABET.index(letter)

    assert 0 <= (value >> 80) - before < 1000


def test_base32():
    assert base32(0, 4) == "0000"
    assert base32(31, 2) == "0z"
    assert base32(32, 2) == "10"
    assert base32(2**128 - 1, 26) == "7" + "z" * 25
