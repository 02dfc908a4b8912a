"""The allocator of the arena."""

from hypothesis import given, settings, strategies as st

from engine.ir.arena import (
    ALIGNMENT,
    PAGE,
    SPARE,
    STAGGER,
    Arena,
    Block,
    aligned,
    pack,
    pack_by_kind,
    pack_by_size,
    pack_in_order,
    pack_tightly,
)


def test_blocks_are_aligned() -> None:
    arena = Arena()
    assert [arena.take(n) for n in (1, 64, 65, 3)] == [0, 64, 128, 256]
    assert arena.size == 320


def test_the_smallest_gap_that_fits_is_used() -> None:
    arena = Arena()
    for n in (256, 64, 128, 64):
        arena.take(n)
    arena.give(0, 256)
    arena.give(320, 128)
    assert arena.take(100) == 320
    assert arena.take(200) == 0


def test_neighbours_are_joined() -> None:
    arena = Arena()
    for n in (64, 64, 64, 64):
        arena.take(n)
    for offset in (0, 128, 64):
        arena.give(offset, 64)
    assert arena.take(192) == 0


def test_the_last_gap_grows_instead_of_being_left_behind() -> None:
    arena = Arena()
    arena.take(64)
    arena.give(arena.take(64), 64)
    assert arena.take(256) == 64
    assert arena.size == 320


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 5)), max_size=60))
def test_blocks_in_use_never_meet(asked: list[tuple[int, int]]) -> None:
    arena = Arena()
    used: list[tuple[int, int]] = []
    for nbytes, victim in asked:
        if victim < len(used):
            arena.give(*used.pop(victim))
        offset = arena.take(nbytes)
        assert offset % ALIGNMENT == 0
        assert offset + aligned(nbytes) <= arena.size
        for other, size in used:
            if nbytes and size:
                assert offset + aligned(nbytes) <= other or other + aligned(size) <= offset
        used.append((offset, nbytes))
    for block in used:
        arena.give(*block)
    if arena.size:
        assert arena.take(arena.size) == 0


blocks = st.lists(
    st.builds(
        lambda start, length, nbytes: Block(start, start + length, nbytes),
        st.integers(-1, 20),
        st.integers(0, 8),
        st.integers(0, 700),
    ),
    max_size=40,
)


def check(blocks: list[Block], size: int) -> None:
    """Blocks that live at one time do not meet, and all lie in the arena."""
    for n, one in enumerate(blocks):
        assert one.offset % ALIGNMENT == 0
        assert one.offset + aligned(one.nbytes) <= size or not one.nbytes
        for other in blocks[:n]:
            apart = (
                one.offset + aligned(one.nbytes) <= other.offset
                or other.offset + aligned(other.nbytes) <= one.offset
            )
            together = one.start <= other.end and other.start <= one.end
            assert apart or not together or not one.nbytes or not other.nbytes


def most(blocks: list[Block]) -> int:
    times = range(-1, 30)
    return max(sum(aligned(b.nbytes) for b in blocks if b.start <= t <= b.end) for t in times)


@settings(deadline=None)
@given(blocks)
def test_packed_blocks_that_live_together_never_meet(blocks: list[Block]) -> None:
    size, live = pack_in_order(blocks)
    check(blocks, size)
    assert live == most(blocks) <= size
    check(blocks, pack_by_size(blocks))
    tight = pack_tightly(blocks)
    check(blocks, tight[0])
    assert tight == (min(size, pack_by_size(blocks)), live)
    apart = pack_by_kind(blocks)
    check(blocks, apart)
    packed = pack(blocks)
    check(blocks, packed[0])
    assert packed == (apart, live)


def test_packing_by_size_saves_what_packing_in_order_wastes() -> None:
    def made() -> list[Block]:
        return [Block(0, 1, 64), Block(0, 5, 128), Block(2, 5, 192), Block(1, 2, 64)]

    assert pack_in_order(made())[0] > pack_tightly(made())[0] == most(made())


def test_blocks_of_other_sizes_lie_apart_where_that_costs_little() -> None:
    few = [Block(0, 0, 64), Block(1, 1, 128), Block(2, 2, 64), Block(3, 3, 128)]
    large = [Block(0, 0, SPARE + 64), Block(1, 1, SPARE + 128)]

    assert pack(few) == (192, 128)
    assert [block.offset for block in few] == [0, 64, 0, 64]
    assert pack([Block(0, 1, PAGE), Block(0, 1, PAGE)]) == (2 * (PAGE + STAGGER), 2 * PAGE)
    assert pack(large) == (SPARE + 128, SPARE + 128)
