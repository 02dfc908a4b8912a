"""A first pass over a text file: is it text, in which encoding, how long are its lines."""

import codecs
from dataclasses import dataclass

import numpy as np

from spec.data.options import CsvOptions
from spec.data.sources import Source

CHUNK = 4 << 20
BOM = codecs.BOM_UTF8
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Scan:
    """What the first pass found."""

    bytes: int
    quoted: bool
    bom: bool


def scan(source: Source, options: CsvOptions) -> Scan:
    """Read the file once in pieces; raises Invalid where it cannot be a table in text."""
    lines = _Lines(source, options)
    with source.open() as stream:
        while piece := stream.read(CHUNK):
            lines.take(piece)
    lines.end()
    source.budget.bytes(lines.bytes, source.pointer)
    return Scan(lines.bytes, lines.quoted, lines.bom)


class _Lines:
    def __init__(self, source: Source, options: CsvOptions) -> None:
        self._source = source
        self._encoding = options.encoding
        self._decoder = codecs.getincrementaldecoder(options.encoding)()
        self._number = 1
        self._tail = 0
        self.bytes = 0
        self.quoted = False
        self.bom = False

    def take(self, piece: bytes) -> None:
        if self.bytes == 0:
            self.bom = piece.startswith(BOM)
            self._refuse_utf16(piece)
        self._refuse_binary(piece)
        self._decode(piece)
        self._measure(piece)
        self.quoted = self.quoted or b'"' in piece
        self.bytes += len(piece)

    def end(self) -> None:
        self._decode(b"", final=True)
        if self.bytes == 0:
            raise self._source.invalid("empty_file", "the file is empty", got="0 bytes")

    def _refuse_utf16(self, piece: bytes) -> None:
        if piece.startswith(UTF16):
            raise self._source.invalid(
                "encoding",
                "the file is UTF-16",
                expected=self._encoding,
                got="utf-16",
                hint="save it as UTF-8",
            )

    def _refuse_binary(self, piece: bytes) -> None:
        at = piece.find(b"\0")
        if at >= 0:
            raise self._source.invalid(
                "not_text",
                f"the file is not text: byte {self.bytes + at} is zero",
                expected="a CSV file",
                got="binary data",
                hint="upload CSV, Parquet, NPZ or IDX",
            )

    def _decode(self, piece: bytes, *, final: bool = False) -> None:
        try:
            self._decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            line = self._number + error.object[: error.start].count(b"\n")
            raise self._source.invalid(
                "encoding",
                f"line {line} is not {self._encoding}",
                expected=self._encoding,
                got=f"byte 0x{error.object[error.start]:02x}",
                hint="say which encoding it is in the options: latin-1 or windows-1252",
            ) from None

    def _measure(self, piece: bytes) -> None:
        limit = self._source.budget.limits.max_line_bytes
        codes = np.frombuffer(piece, np.uint8)
        ends = np.flatnonzero((codes == 10) | (codes == 13))
        edges = np.concatenate(([-1 - self._tail], ends, [len(piece)]))
        longest = int(np.diff(edges).max()) - 1
        if longest > limit:
            at = int(np.argmax(np.diff(edges)))
            line = self._number + int((codes[: max(edges[at], 0)] == 10).sum())
            raise self._source.invalid(
                "line_too_long",
                f"line {line} is longer than {limit} bytes",
                expected=f"at most {limit} bytes a line",
                got=f"{longest} bytes or more",
                hint="is this a CSV file? Rows end with a line break",
            )
        self._tail = len(piece) - 1 - int(ends[-1]) if len(ends) else self._tail + len(piece)
        self._number += piece.count(b"\n")
