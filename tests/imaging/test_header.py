from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemed.errors import EdgemedError, ImageError
from edgemed.imaging import header
from edgemed.imaging.header import Format, Header

MAGIC = {
    "png": (b"\x89PNG\r\n\x1a\n", Format.PNG),
    "jpeg": (b"\xff\xd8\xff\xe0", Format.JPEG),
    "tiff, Intel": (b"II*\0", Format.TIFF),
    "tiff, Motorola": (b"MM\0*", Format.TIFF),
    "npy": (b"\x93NUMPY", Format.NPY),
    "dicom": (bytes(128) + b"DICM", Format.DICOM),
    "dicom with a tiff preamble": (b"II*\0" + bytes(124) + b"DICM", Format.DICOM),
    "mp4": (b"\0\0\0\x20ftypisom", Format.CLIP),
    "mov": (b"\0\0\0\x08wide\0\0\0\0", Format.CLIP),
    "avi": (b"RIFF\0\0\0\0AVI LIST", Format.CLIP),
    "mkv": (b"\x1a\x45\xdf\xa3", Format.CLIP),
    "mpeg": (b"\0\0\x01\xba", Format.CLIP),
    "heic photo": (b"\0\0\0\x20ftypheic", None),
    "webp photo": (b"RIFF\0\0\0\0WEBP", None),
    "text": (b"Dear colleague,", None),
    "nothing": (b"", None),
}


def png(columns: int, rows: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Build a PNG whose header claims a size, followed by the given chunks."""
    ihdr = (b"IHDR", struct.pack(">2I5B", columns, rows, 8, 0, 0, 0, 0))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (ihdr, *chunks)
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(("raw", "expected"), MAGIC.values(), ids=MAGIC)
def test_first_bytes_tell_the_format(raw: bytes, expected: Format | None) -> None:
    assert header.sniff(raw) is expected


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(".png", Format.PNG), (".jpg", Format.JPEG), (".tif", Format.TIFF)],
    ids=["png", "jpeg", "tiff"],
)
@given(rows=st.integers(1, 70), columns=st.integers(1, 70))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the fixture is a function without state
def test_size_is_that_of_the_picture(
    encode: Callable[..., bytes], suffix: str, kind: Format, rows: int, columns: int
) -> None:
    raw = encode(suffix, np.zeros((rows, columns), np.uint8))
    assert header.parse(raw, kind, source="x") == Header(rows=rows, columns=columns)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(".png", Format.PNG), (".jpg", Format.JPEG), (".tif", Format.TIFF)],
    ids=["png", "jpeg", "tiff"],
)
def test_file_cut_anywhere_is_refused(
    encode: Callable[..., bytes], picture: NDArray[np.uint8], suffix: str, kind: Format
) -> None:
    raw = encode(suffix, picture)
    for end in range(8, len(raw) - 1, 1 + len(raw) // 150):
        with pytest.raises(ImageError, match=r"cut short|damaged"):
            header.parse(raw[:end], kind, source="x")


def test_20000_by_20000_png_is_refused_by_its_header() -> None:
    with pytest.raises(ImageError) as refusal:
        header.parse(png(20_000, 20_000, (b"IEND", b"")), Format.PNG, source="big.png")
    assert str(refusal.value) == (
        "big.png: expected at most 67108864 pixels, got 20000 x 20000 = 400000000; export the image at its native size"
    )


def test_png_chunk_that_claims_gigabytes_is_refused() -> None:
    raw = png(8, 8) + b"\xff\0\0\0IDAT" + bytes(40)
    with pytest.raises(ImageError) as refusal:
        header.parse(raw, Format.PNG, source="x.png")
    assert str(refusal.value) == ("x.png: PNG ends inside a chunk; the file is cut short or damaged, copy it again")


def test_tiff_pages_in_a_loop_are_refused(encode: Callable[..., bytes]) -> None:
    raw = bytearray(encode(".tif", np.zeros((4, 4), np.uint8)))
    (first,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, first)
    struct.pack_into("<I", raw, first + 2 + 12 * count, first)
    with pytest.raises(ImageError) as refusal:
        header.parse(bytes(raw), Format.TIFF, source="x.tif")
    assert str(refusal.value) == "x.tif: expected at most 4096 TIFF pages in a chain, got a loop or more"


@pytest.mark.parametrize(("suffix", "marker"), [(".jpg", b"\xff\xd8"), (".jp2", b"")], ids=["jpeg", "jpeg 2000"])
def test_codestream_tells_its_size(encode: Callable[..., bytes], suffix: str, marker: bytes) -> None:
    raw = encode(suffix, np.zeros((170, 290), np.uint8))
    assert raw.startswith(marker)
    assert header.codestream_size(raw) == (170, 290)


@given(st.binary(max_size=80))
def test_codestream_of_junk_has_a_size_or_none(raw: bytes) -> None:
    for start in (b"", b"\xff\xd8", b"\xff\x4f\xff\x51"):
        size = header.codestream_size(start + raw)
        assert size is None or len(size) == 2


STARTS: dict[Format, Any] = {Format.PNG: b"\x89PNG\r\n\x1a\n", Format.JPEG: b"\xff\xd8\xff", Format.TIFF: b"II*\0"}


@pytest.mark.parametrize("kind", STARTS, ids=[kind.value for kind in STARTS])
@given(tail=st.binary(max_size=200))
def test_any_bytes_give_a_header_or_an_error(kind: Format, tail: bytes) -> None:
    try:
        found = header.parse(STARTS[kind] + tail, kind, source="x")
    except EdgemedError:
        return
    assert 1 <= found.rows * found.columns <= header.PIXEL_LIMIT
