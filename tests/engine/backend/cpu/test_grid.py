"""How products are cut into parts."""

from itertools import pairwise, product

import pytest

from engine.backend.cpu.grid import MOST_PARTS, grid_of

LENGTHS = (1, 7, 10, 64, 250, 1024)


@pytest.mark.parametrize("turned", [False, True])
def test_parts_cover_all_rows_and_columns_once(turned: bool) -> None:
    for rows, columns, depth in product(LENGTHS, LENGTHS, (1, 64, 700)):
        grid = grid_of(rows, columns, depth, turned)
        assert grid.parts <= MOST_PARTS
        for cut, length in ((grid.down, rows), (grid.across, columns)):
            bounds = [eval(cut.start(str(i)).replace("/", "//")) for i in range(cut.parts + 1)]
            sizes = [min(length, end) - start for start, end in pairwise(bounds)]
            assert sum(sizes) == length
            assert min(sizes) > 0
            assert max(sizes) <= cut.most


def test_small_products_are_not_cut() -> None:
    assert grid_of(8, 8, 8, False).parts == 1


def test_large_products_have_parts_for_eight_threads() -> None:
    assert grid_of(512, 512, 512, False).parts >= 8


def test_parts_share_the_work_evenly_between_two() -> None:
    for rows, columns in product((64, 256, 784), repeat=2):
        assert grid_of(rows, columns, 256, False).parts % 2 == 0


def test_gradients_of_weights_are_cut_by_rows_as_optimizers_cut_weights() -> None:
    for rows, columns, depth in ((128, 128, 64), (128, 64, 64), (512, 512, 256)):
        grid = grid_of(rows, columns, depth, True)
        assert grid.across.parts == 1
        assert grid.down.even
