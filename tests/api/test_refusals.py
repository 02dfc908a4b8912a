"""Bad input, one kind after another: a problem with its place, and nothing left behind."""

import io
import pickle
import zipfile
from copy import deepcopy

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from store.tables import Base
from tests.api.conftest import SPEC, TABLE, dataset, upload

KEPT = {"uploads", "blobs", "chunks", "blob_chunks", "api_keys"}  # uploads wait for their expiry


def rows(sessions):
    """How many rows there are in every table that a refusal must leave as it was."""
    with sessions() as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table))
            for table in Base.metadata.sorted_tables
            if table.name not in KEPT
        }


def spec(path=None, value=None):
    """The good spec with the value at `path` replaced."""
    made = deepcopy(SPEC)
    if path is not None:
        *parents, last = path.split("/")
        place = made
        for parent in parents:
            place = place[int(parent) if isinstance(place, list) else parent]
        place[last] = value
    return made


LAYERS = {"layers": [{"linear": 2**60}, {"linear": 2}]}
MISFIT = {"layers": [{"conv2d": {"out_channels": 4, "kernel_size": 3}}, "flatten", {"linear": 2}]}
TOO_FEW = {"layers": [{"linear": 8}, "relu", {"linear": 1}]}
MISSING = {"age": {"type": "number", "column": "agge"}}
TEXT = {"city": {"type": "number", "column": "city"}}

SPECS = {
    "unknown field": (spec("train/bach_size", 3), "/train/bach_size", "batch_size"),
    "wrong type": (spec("train/epochs", "ten"), "/train/epochs", "int"),
    "2^60-wide layer": (spec("model", LAYERS), "/model/layers/0", ""),
    "layer that does not fit": (spec("model", MISFIT), "/model/layers/0", ""),
    "more classes than the head": (spec("model", TOO_FEW), "/model/layers/2", "2"),
    "missing column": (spec("data/inputs", MISSING), "/data/inputs/age/column", "age"),
    "text in a number column": (spec("data/inputs", TEXT), "/data/inputs/city/column", "Bern"),
}


@pytest.mark.parametrize("kind", SPECS)
def test_a_bad_spec(http, sessions, kind):
    document, pointer, said = SPECS[kind]
    dataset(http)
    before = rows(sessions)

    for path in ("/v1/jobs", "/v1/jobs?dry_run=true"):
        answer = http.post(path, json=document)

        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert any(e["pointer"].startswith(pointer) for e in answer.json()["errors"]), answer.text
        assert said in answer.text
    assert rows(sessions) == before


def parquet(cut=None):
    file = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(1000)), "label": ["x", "y"] * 500}), file)
    return file.getvalue()[:cut]


def npz(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def bomb():
    """A few hundred kilobytes that would unpack to gigabytes."""
    header = io.BytesIO()
    shape = {"descr": "<f8", "fortran_order": False, "shape": (300_000_000,)}
    np.lib.format.write_array_header_1_0(header, shape)
    return npz(x=header.getvalue() + bytes(200_000_000))


FILES = {
    "ragged CSV": (TABLE + b"41,Bern\n", "people.csv", "61"),
    "header and nothing else": (TABLE.split(b"\n")[0] + b"\n", "people.csv", "row"),
    "truncated Parquet": (parquet(-30), "people.parquet", ""),
    "NPZ with a pickle": (npz(x=pickle.dumps({"a": 1})), "people.npz", ""),
    "zip bomb": (bomb(), "people.npz", ""),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_bad_file(http, sessions, kind):
    content, filename, said = FILES[kind]
    staged = upload(http, content, filename)
    before = rows(sessions)

    answer = http.post("/v1/datasets", json={"name": "people", "uploads": [staged]})

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert all(e["pointer"].startswith("/files/0") for e in answer.json()["errors"]), answer.text
    assert said in answer.text
    assert rows(sessions) == before
    assert http.get("/v1/datasets/people").status_code == 404


def test_an_empty_file(http, sessions):
    before = rows(sessions)

    answer = http.post("/v1/uploads?filename=people.csv", content=b"")

    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert rows(sessions) == before


def test_a_body_over_the_cap(http, sessions):
    before = rows(sessions)

    answer = http.post("/v1/jobs", content=b" " * (2**20 + 1))

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert rows(sessions) == before


def test_nan_in_the_data_is_refused_where_the_spec_says_so(http, sessions):
    file = io.BytesIO()
    x = np.arange(60, dtype=np.float32)
    x[17] = np.nan
    np.savez(file, x=x, label=np.arange(60) % 2)
    staged = upload(http, file.getvalue(), "numbers.npz")
    made = http.post("/v1/datasets", json={"name": "numbers", "uploads": [staged]})
    assert made.status_code == 201, made.text
    before = rows(sessions)
    document = spec("data/dataset", "numbers")
    document["data"]["inputs"] = {"x": {"type": "number", "column": "x", "missing": "error"}}

    answer = http.post("/v1/jobs", json=document)

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"].startswith("/data/inputs/x")
    assert rows(sessions) == before


def test_nan_in_a_spec_is_not_json(http):
    headers = {"Content-Type": "application/json"}

    answer = http.post("/v1/jobs", content=b'{"train": {"epochs": NaN}}', headers=headers)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
