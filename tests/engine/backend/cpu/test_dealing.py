"""How the parts of waves are dealt to threads."""

from collections.abc import Sequence

import pytest

from engine.backend.cpu.code import Call, Wave
from engine.backend.cpu.dealing import MOST_STRETCHES, SMALL, Dealt, Tensors, deal


def wave(*calls: tuple[int, int], first: int = 0, alone: bool = False) -> Wave:
    """Of (parts, work of a part); launches are counted from `first`."""
    found = [Call(first + i, f"k{i}", n, work, 0, False) for i, (n, work) in enumerate(calls)]
    return Wave(alone, found)


def tensors(inputs: Sequence[int], outputs: Sequence[int], nbytes: int = 64) -> Tensors:
    """At so many places."""
    return Tensors([((0, at), nbytes) for at in inputs], [((0, at), nbytes) for at in outputs])


def alone(one: Wave, threads: int) -> Dealt:
    """A wave of which nothing is known."""
    return deal([one], threads, [Tensors((), ())] * len(one.calls))[0]


def test_every_thread_takes_its_share_of_a_large_call() -> None:
    assert alone(wave((4, SMALL), (2, 2 * SMALL)), 2) == [[0, 1, 4], [2, 3, 5]]
    assert alone(wave((5, 100)), 2) == [[0, 1, 2], [3, 4]]


def test_small_calls_are_left_to_one_thread_where_there_are_enough() -> None:
    assert alone(wave((4, 100), (4, 100)), 2) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert alone(wave((4, 100), (2, 7)), 2) == [[0, 1, 4, 5], [2, 3]]
    assert alone(wave((4, 100), (2, 100)), 2) == [[0, 1, 4], [2, 3, 5]]


def test_what_is_left_over_goes_to_those_with_least_to_do() -> None:
    assert alone(wave((1, 1000), (3, 10), (1, 10)), 2) == [[0], [1, 2, 3, 4]]
    assert alone(wave((1, 8), (1, 4), (1, 4)), 2) == [[0], [1, 2]]
    assert alone(wave((3, 8), (1, 8)), 2) == [[0, 1], [2, 3]]


def test_who_made_a_tensor_alone_goes_on_with_it() -> None:
    makers, users = wave((1, 9), (1, 9)), wave((2, 9), (2, 9), first=2)
    of = [tensors([], [0]), tensors([], [1]), tensors([1], [2]), tensors([0], [3])]

    assert deal([makers, users], 2, of) == [[[0], [1]], [[2, 3], [0, 1]]]


def test_a_large_call_on_what_one_thread_made_is_its_own() -> None:
    waves = [wave((1, 9), (1, 9)), wave((2, SMALL), (2, SMALL), first=2)]
    apart = [tensors([], [0]), tensors([], [1]), tensors([1], [2]), tensors([0], [3])]
    shared = [tensors([], [0]), tensors([], [1]), tensors([0, 1], [2]), tensors([], [3])]

    assert deal(waves, 2, apart)[1] == [[2, 3], [0, 1]]
    assert deal(waves, 2, shared)[1] == [[0, 2], [1, 3]]


def test_what_all_threads_made_is_shared_by_all() -> None:
    waves = [wave((2, SMALL)), wave((2, 9), (2, 9), first=1)]
    of = [tensors([], [0]), tensors([0], [1]), tensors([], [2])]

    assert deal(waves, 2, of)[1] == [[0, 2], [1, 3]]


def test_a_tensor_is_made_by_who_will_read_it() -> None:
    """Thread 0 has no time left for launch 3, which reads what launch 0 makes."""
    waves = [wave((1, 9), (1, 9)), wave((1, 100), (1, 60), (1, 50), first=2)]
    of = [
        tensors([], [0]),
        tensors([], [1]),
        tensors([], [2]),
        tensors([0], [3]),
        tensors([1], [4]),
    ]

    assert deal(waves, 2, of) == [[[1], [0]], [[0], [1, 2]]]


def test_a_wave_of_one_thread_is_not_dealt() -> None:
    waves = [wave((1, 1), alone=True), wave((1, 18), (2, 9), first=1)]
    of = [tensors([], [0]), tensors([0], [1]), tensors([], [2])]

    assert deal(waves, 2, of) == [[], [[0], [1, 2]]]


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 64, 200])
def test_every_part_is_dealt_once(threads: int) -> None:
    for calls in ([(1, 1)], [(4, 9), (4, 3), (1, 1)], [(300, 5)], [(1, 10**9), (2, 1)]):
        made = wave(*calls)
        dealt = alone(made, threads)
        parts = sum(call.parts for call in made.calls)
        assert len(dealt) == min(threads, parts, MOST_STRETCHES)
        assert sorted(part for found in dealt for part in found) == list(range(parts))
