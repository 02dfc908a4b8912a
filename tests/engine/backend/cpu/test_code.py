"""How the parts of a wave are dealt to threads."""

from itertools import pairwise

import pytest

from engine.backend.cpu.code import MOST_STRETCHES, Call, Wave


def wave(*calls: tuple[int, int]) -> Wave:
    """Of (parts, work of a part)."""
    return Wave(False, [Call(i, f"k{i}", n, work, 0, False) for i, (n, work) in enumerate(calls)])


def test_alike_parts_are_shared_evenly() -> None:
    assert wave((8, 100)).stops(2) == [4, 8]
    assert wave((8, 100)).stops(3) == [3, 5, 8]


def test_work_is_shared_not_parts() -> None:
    assert wave((2, 1000), (4, 500), (10, 1)).stops(2) == [2, 16]
    assert wave((1, 1000), (3, 10)).stops(2) == [1, 4]


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 64, 200])
def test_every_part_is_in_one_stretch(threads: int) -> None:
    for calls in ([(1, 1)], [(4, 9), (4, 3), (1, 1)], [(300, 5)], [(1, 10**9), (2, 1)]):
        made = wave(*calls)
        stops = made.stops(threads)
        assert len(stops) <= min(threads, MOST_STRETCHES)
        assert all(a <= b for a, b in pairwise([0, *stops]))
        assert stops[-1] == sum(call.parts for call in made.calls)
