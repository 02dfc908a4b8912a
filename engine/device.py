"""Devices by name: "cpu", "cuda", "cuda:1". CuPy is imported when a GPU is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.errors import DeviceError

_INSTALL = 'install it with: pip install "gradworks[gpu]"'


def parse(device: str) -> tuple[str, int]:
    """("cuda", 1) of "cuda:1"; DeviceError for other names."""
    kind, _, index = device.partition(":")
    if kind == "cpu" and not index:
        return "cpu", 0
    if kind == "cuda" and (index == "" or index.isdecimal()):
        return "cuda", int(index or 0)
    raise DeviceError(f"no device is called {device!r}; say 'cpu', 'cuda' or 'cuda:0'")


def cuda(index: int = 0) -> Any:
    """CuPy, once it is sure that the GPU is there; DeviceError says what is missing."""
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            f"'cuda:{index}' needs CuPy, which is not installed; {_INSTALL}"
        ) from error
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"'cuda:{index}' needs an NVIDIA GPU and its driver: {error}") from error
    if index >= count:
        raise DeviceError(f"'cuda:{index}' is not there; this machine has {count} CUDA device(s)")
    return cupy


def is_available(device: str) -> bool:
    """Whether tensors can be put on the device."""
    try:
        kind, index = parse(device)
        if kind == "cuda":
            cuda(index)
    except DeviceError:
        return False
    return True


def device_of(data: Any) -> str:
    """The name of the device that holds an array."""
    if isinstance(data, np.ndarray | np.generic):
        return "cpu"
    return f"cuda:{data.device.id}"


def move(data: Any, device: str) -> Any:
    """The array on the device; itself where it is there already."""
    kind, index = parse(device)
    if kind == "cpu":
        return data if isinstance(data, np.ndarray) else data.get()
    cupy = cuda(index)
    with cupy.cuda.Device(index):
        return cupy.asarray(data)


def full_name(device: str) -> str:
    """ "cuda:0" of "cuda"."""
    kind, index = parse(device)
    return kind if kind == "cpu" else f"{kind}:{index}"
