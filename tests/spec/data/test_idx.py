import struct

import numpy as np
import pytest

from core.errors import Invalid
from spec.data.limits import Limits
from spec.data.reading import read
from tests.spec.data.files import SMALL, gz, idx, put, refused, values

IMAGES = np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2)
LABELS = np.array([4, 3, 2, 1, 0], np.uint8)


def pair(folder, part="train", images=IMAGES, labels=LABELS, packed=True):
    pack = gz if packed else bytes
    end = ".gz" if packed else ""
    return [
        put(folder, pack(idx(images)), f"{part}-images-idx3-ubyte{end}"),
        put(folder, pack(idx(labels)), f"{part}-labels-idx1-ubyte{end}"),
    ]


@pytest.mark.parametrize("packed", [True, False])
def test_a_pair_becomes_image_and_label(tmp_path, packed):
    table = read(pair(tmp_path, packed=packed))

    assert table.format == "idx"
    assert list(table.columns) == ["image", "label"]
    assert np.array_equal(table.columns["image"].values, IMAGES)
    assert values(table, "label") == [4, 3, 2, 1, 0]


def test_two_pairs_get_a_column_that_tells_the_part(tmp_path):
    test = pair(tmp_path, "t10k", IMAGES[:2], LABELS[:2])

    table = read([test[1], *pair(tmp_path), test[0]])

    assert set(values(table, "split")) == {"train", "t10k"}
    rows = [row for row, part in enumerate(values(table, "split")) if part == "t10k"]
    assert np.array_equal(table.columns["image"].values[rows], IMAGES[:2])
    assert [values(table, "label")[row] for row in rows] == [4, 3]


def test_wider_types(tmp_path):
    content = bytes([0, 0, 0x0D, 2]) + struct.pack(">II", 2, 2) + struct.pack(">4f", 1, 2, 3, 4.5)

    table = read([put(tmp_path, content, "train-images-idx2-float.idx")])

    assert values(table, "image") == [[1.0, 2.0], [3.0, 4.5]]
    assert table.columns["image"].values.dtype == np.dtype("=f4")


def test_a_pair_must_be_complete_and_even(tmp_path):
    train = pair(tmp_path)
    test = pair(tmp_path, "t10k", labels=LABELS[:3])

    assert refused(*train, test[0]).code == "unpaired_file"
    assert refused(*train, *test).code == "uneven_columns"
    assert refused(*train, train[0]).code == "duplicate_file"


def test_pairs_must_have_one_shape(tmp_path):
    other = pair(tmp_path, "t10k", IMAGES.reshape(5, 2, 3))

    assert refused(*pair(tmp_path), *other).code == "other_shape"


def test_the_name_must_tell_images_from_labels(tmp_path):
    problem = refused(put(tmp_path, idx(IMAGES), "things.idx"))

    assert problem.code == "unknown_part"


@pytest.mark.parametrize("keep", [3, 9, 20, -1])
def test_a_file_that_breaks_off(tmp_path, keep):
    cut = put(tmp_path, idx(IMAGES)[:keep], "train-images-idx3-ubyte")
    packed = put(tmp_path, gz(idx(IMAGES)[:keep]), "t10k-images-idx3-ubyte.gz")

    with pytest.raises(Invalid):
        read([cut], format="idx" if keep > 3 else None)
    with pytest.raises(Invalid):
        read([packed])


def test_a_gzip_that_breaks_off(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (50, 30, 30))
    cut = put(tmp_path, gz(idx(noise))[:20_000], "train-images-idx3-ubyte.gz")

    assert refused(cut).code == "truncated"


def test_more_bytes_than_the_header_says(tmp_path):
    packed = put(tmp_path, gz(idx(IMAGES) + b"more"), "train-images-idx3-ubyte.gz")
    plain = put(tmp_path, idx(IMAGES) + b"more", "train-images-idx3-ubyte")

    assert refused(packed).code == "corrupt"
    assert refused(plain).code == "corrupt"


def test_a_header_beyond_the_limit_allocates_nothing(tmp_path):
    content = bytes([0, 0, 8, 3]) + struct.pack(">III", 2**31, 2**31, 2**31) + b"x"

    problem = refused(put(tmp_path, gz(content), "train-images-idx3-ubyte.gz"))

    assert problem.code == "too_large"
    assert str(2**93) in problem.got


def test_a_gzip_bomb_is_counted_while_reading(tmp_path):
    content = bytes([0, 0, 8, 3]) + struct.pack(">III", 80_000, 30, 30) + b"\0" * 72_000_000
    bomb = put(tmp_path, gz(content), "train-images-idx3-ubyte.gz")

    assert refused(bomb).code == "compression_bomb"
    assert refused(bomb, limits=SMALL).code == "too_large"


def test_the_limit_holds_for_all_files_together(tmp_path):
    images = np.zeros((50, 10, 10), np.uint8)
    files = [
        *pair(tmp_path, "train", images, np.zeros(50)),
        *pair(tmp_path, "t10k", images, np.zeros(50)),
    ]

    assert read(files).rows == 100
    assert refused(*files, limits=Limits(max_decoded_bytes=8000)).code == "too_large"
    assert refused(*files, limits=Limits(max_rows=80)).code == "too_large"


def test_only_the_first_rows_are_read_where_that_is_enough(tmp_path):
    table = read(pair(tmp_path), first=2)

    assert np.array_equal(table.columns["image"].values, IMAGES[:2])
    assert values(table, "label") == [4, 3]
