import json

import numpy as np

from spec.data.preview import preview
from tests.spec.data.files import put
from tests.spec.data.tables import table


def test_rows_as_json():
    found = preview(
        table(
            n=[1, None],
            x=np.array([np.inf, 2.5]),
            t=["a", None],
            f=[True, False],
            v=np.array([[1.0, np.nan], [3.0, 4.0]]),
        )
    )

    assert found == [
        {
            "n": 1,
            "x": {"value": None, "nonfinite": "inf"},
            "t": "a",
            "f": True,
            "v": [1.0, {"value": None, "nonfinite": "nan"}],
        },
        {"n": None, "x": 2.5, "t": None, "f": False, "v": [3.0, 4.0]},
    ]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_no_more_rows_than_asked_for(tmp_path):
    file = put(tmp_path, "a\n" + "1\n" * 50)

    assert len(preview([file], 7)) == 7
    assert len(preview([file], 70)) == 50


def test_large_arrays_and_texts_are_cut():
    found = preview(table(image=np.zeros((1, 100, 100), np.uint8), t=["x" * 5000]))[0]

    assert found["image"] == {"shape": [100, 100], "dtype": "uint8"}
    assert len(found["t"]) == 1000
