"""NumPy's own BLAS, by function pointer: one library, one thread pool, the fastest GEMM here."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Blas:
    """Addresses of CBLAS functions with 64-bit integers, and of those about its threads."""

    library: ctypes.CDLL
    sgemm: int
    dgemm: int
    set_threads: int
    threads: int

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Every call works in its caller's thread, so that results depend on no count of them."""
        before = int(self.library.scipy_openblas_get_num_threads64_())
        self.library.scipy_openblas_set_num_threads64_(1)
        try:
            yield
        finally:
            self.library.scipy_openblas_set_num_threads64_(before)


def keep_to_one_thread() -> None:
    """From now on, every call of NumPy's BLAS in this process works in its caller's thread.

    With more, sums are cut by the number of threads, and bits depend on it; and where another
    process holds a core, the threads wait for each other ten times as long as they work.
    """
    found = find()
    if found is not None:
        found.library.scipy_openblas_set_num_threads64_(1)


@cache
def find() -> Blas | None:
    """OpenBLAS as NumPy's wheels bring it; None where NumPy was built otherwise."""
    folders = [Path(np.__file__).parent.parent / "numpy.libs", Path(np.__file__).parent / ".dylibs"]
    for folder in folders:
        for path in sorted(folder.glob("*openblas64*")):
            library = ctypes.CDLL(str(path))
            names = (
                "scipy_cblas_sgemm64_",
                "scipy_cblas_dgemm64_",
                "scipy_openblas_set_num_threads64_",
                "scipy_openblas_get_num_threads64_",
            )
            if all(hasattr(library, name) for name in names):
                return Blas(library, *(_address(library, name) for name in names))
    return None


def _address(library: ctypes.CDLL, name: str) -> int:
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
