"""How the parts of a wave are dealt to threads."""

import pytest

from engine.backend.cpu.code import MOST_STRETCHES, SMALL, Call, Wave


def wave(*calls: tuple[int, int]) -> Wave:
    """Of (parts, work of a part)."""
    return Wave(False, [Call(i, f"k{i}", n, work, 0, False) for i, (n, work) in enumerate(calls)])


def test_every_thread_takes_its_share_of_a_large_call() -> None:
    large = wave((4, SMALL), (2, 2 * SMALL))
    assert large.dealt(2) == [[0, 1, 4], [2, 3, 5]]
    assert wave((5, 100)).dealt(2) == [[0, 1, 2], [3, 4]]


def test_small_calls_are_left_to_one_thread_where_there_are_enough() -> None:
    assert wave((4, 100), (4, 100)).dealt(2) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert wave((4, 100), (2, 7)).dealt(2) == [[0, 1, 4, 5], [2, 3]]
    assert wave((4, 100), (2, 100)).dealt(2) == [[0, 1, 4], [2, 3, 5]]


def test_what_is_left_over_goes_to_those_with_least_to_do() -> None:
    assert wave((1, 1000), (3, 10), (1, 10)).dealt(2) == [[0], [1, 2, 3, 4]]
    assert wave((1, 8), (1, 4), (1, 4)).dealt(2) == [[0], [1, 2]]
    assert wave((3, 8), (1, 8)).dealt(2) == [[0, 1], [2, 3]]


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 64, 200])
def test_every_part_is_dealt_once(threads: int) -> None:
    for calls in ([(1, 1)], [(4, 9), (4, 3), (1, 1)], [(300, 5)], [(1, 10**9), (2, 1)]):
        made = wave(*calls)
        dealt = made.dealt(threads)
        parts = sum(call.parts for call in made.calls)
        assert len(dealt) == min(threads, parts, MOST_STRETCHES)
        assert sorted(part for found in dealt for part in found) == list(range(parts))
