"""Images as inputs: bytes stay bytes until a batch is made of them, then they are float32."""

import math
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spec.data.cells import number
from spec.data.config import ImageInput, Layout
from spec.data.numbers import stack
from spec.data.profile import ColumnProfile, Record
from spec.data.rows import Raw
from spec.data.shapes import image_shape
from spec.data.tables import Arrays, Column

BYTE = 255.0
PIECE = 4 << 20
Floats = NDArray[np.float32]


class ImageEncoder(Record):
    """One input of images. A value becomes (x / scale - mean) / std in float32, by channel."""

    type: Literal["image"] = "image"
    columns: list[str]
    pixels: bool
    shape: list[int]
    layout: Layout
    scale: float
    mean: list[float] | None = None
    std: list[float] | None = None

    @classmethod
    def fit(
        cls,
        given: ImageInput,
        names: list[str],
        columns: list[Column],
        profiles: list[ColumnProfile],
        train: NDArray[Any],
    ) -> "tuple[ImageEncoder, NDArray[Any]]":
        """The encoder and the block of raw values: (rows, …) as stored, or (rows, pixels)."""
        first = columns[0]
        whole = given.columns is None and isinstance(first, Arrays)
        block = first.values if isinstance(first, Arrays) and whole else stack(columns)
        shape, layout = image_shape(given, profiles)
        encoder = cls(
            columns=names,
            pixels=not whole,
            shape=shape,
            layout=layout,
            scale=given.scale or (BYTE if block.dtype == np.uint8 else 1.0),
            mean=_by_channel(given.mean, shape[0], 0.0 if given.std else None),
            std=_by_channel(given.std, shape[0], 1.0 if given.mean else None),
        )
        if given.normalize == "standard":
            encoder = encoder._standardised(block, train)
        return encoder, block

    def _standardised(self, block: NDArray[Any], train: NDArray[Any]) -> "ImageEncoder":
        """The encoder with mean and deviation of each channel, in two passes over the images."""
        step = max(1, PIECE // math.prod(self.shape))
        pieces = [train[start : start + step] for start in range(0, len(train), step)]
        count = len(train) * self.shape[1] * self.shape[2]
        total = sum(self.encode(block[rows]).sum((0, 2, 3), np.float64) for rows in pieces)
        mean = np.asarray(total / count)
        square = sum(
            np.square(self.encode(block[rows]) - mean[:, None, None]).sum((0, 2, 3))
            for rows in pieces
        )
        std = np.sqrt(np.asarray(square / count))
        fitted = {"mean": mean.tolist(), "std": np.where(std > 0, std, 1.0).tolist()}
        return ImageEncoder(**{**self.model_dump(), **fitted})

    @cached_property
    def _channels(self) -> tuple[Floats, Floats] | None:
        if self.mean is None or self.std is None:
            return None
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return mean[:, None, None], std[:, None, None]

    def encode(self, block: NDArray[Any]) -> Floats:
        """Raw values as stored → float32 (rows, channels, height, width)."""
        channels, height, width = self.shape
        if self.layout == "HWC":
            block = block.reshape(len(block), height, width, channels).transpose(0, 3, 1, 2)
        images = np.array(block, np.float32, order="C", copy=True)
        images = images.reshape(len(block), channels, height, width)
        if self.scale != 1.0:
            images /= np.float32(self.scale)
        if self._channels is not None:
            mean, std = self._channels
            images -= mean
            images /= std
        return images

    def parse(self, raw: Raw) -> NDArray[np.float64]:
        """The block of raw rows; problems are kept in `raw`."""
        if self.pixels:
            return self._parse_pixels(raw)
        stored = self._stored()
        block = np.zeros((len(raw), *stored))
        for row, value in raw.column(self.columns[0]):
            found = _array(value)
            if found is None or found.shape not in (stored, (math.prod(stored),)):
                expected = f"numbers in nested lists of shape {list(stored)}"
                raw.complain(row, self.columns[0], "wrong_shape", expected, value)
            elif not np.isfinite(found).all():
                raw.complain(row, self.columns[0], "not_finite", "finite numbers", value)
            else:
                block[row] = found.reshape(stored)
        return block

    def _stored(self) -> tuple[int, ...]:
        channels, height, width = self.shape
        return {
            "HW": (height, width),
            "HWC": (height, width, channels),
            "CHW": (channels, height, width),
        }[self.layout]

    def _parse_pixels(self, raw: Raw) -> NDArray[np.float64]:
        plain = raw.plain(self.columns)
        if plain is not None:
            return plain
        block = np.zeros((len(raw), len(self.columns)))
        for at, name in enumerate(self.columns):
            for row, value in raw.column(name):
                found = number(value)
                if found is None or math.isnan(found):
                    raw.complain(row, name, "not_a_number", "a finite number", value)
                else:
                    block[row, at] = found
        return block


def _by_channel(
    given: list[float] | None, channels: int, otherwise: float | None
) -> list[float] | None:
    if given is None:
        return None if otherwise is None else [otherwise] * channels
    return given * channels if len(given) == 1 else given


def _array(value: Any) -> NDArray[np.float64] | None:
    """Nested lists of numbers as an array; None where they are not."""
    try:
        found = np.asarray(value)
    except (ValueError, OverflowError):
        return None
    return found.astype(np.float64) if found.dtype.kind in "iuf" else None
