"""NumPy's BLAS keeps to one thread, whatever the environment asks of it."""

import os
import subprocess
import sys

import pytest

from engine.backend.cpu import blas

PRODUCT = """
import hashlib

import engine
import numpy as np
rng = np.random.default_rng(0)
a, b = (rng.standard_normal((256, 256)).astype("float32") for _ in range(2))
print(hashlib.sha256((a @ b).tobytes()).hexdigest())
"""


def product(threads: int) -> str:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", PRODUCT]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    return done.stdout.strip()


@pytest.mark.skipif(blas.find() is None, reason="NumPy was built without OpenBLAS")
def test_products_do_not_depend_on_the_number_of_threads() -> None:
    assert product(1) == product(2) == product(4)


@pytest.mark.skipif(blas.find() is None, reason="NumPy was built without OpenBLAS")
def test_it_has_one_thread() -> None:
    found = blas.find()
    assert found is not None
    assert found.library.scipy_openblas_get_num_threads64_() == 1
