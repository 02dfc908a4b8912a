"""The whole service on this machine, once for all client tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gradworks import Client
from gradworks.demo import write_digits
from gradworks.service import Service

QUICK = {
    "name": "quick",
    "data": {
        "dataset": "digits",
        "inputs": {
            "image": {"type": "image", "columns": "pixel_*", "shape": [1, 8, 8], "scale": 16}
        },
        "target": {"column": "digit", "type": "category"},
        "split": {"train": 0.8, "validation": 0.1, "test": 0.1},
    },
    "model": {"blueprint": {"name": "mlp", "hidden": [64]}},
    "train": {"optimizer": {"name": "adam", "lr": 0.003}, "epochs": 4, "batch_size": 64},
}


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="session")
def digits_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("digits") / "digits.csv"
    write_digits(path, hold_out=3)
    return path


@pytest.fixture(scope="session")
def client(service: Service, digits_csv: Path) -> Iterator[Client]:
    with Client(service.url, api_key=str(service.key)) as client:
        client.datasets.upload("digits", [digits_csv])
        yield client


@pytest.fixture(scope="session")
def finished(client: Client) -> dict:
    """A job that has succeeded."""
    job = client.jobs.submit(QUICK)
    return client.jobs.wait(job["id"], timeout=100)
