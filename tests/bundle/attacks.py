"""What an attacker may do to a bundle file: every change of bytes, and archives that other readers fall for.

Each generator yields a name and the bytes; `benchmarks/tampering.py` runs them all, the tests a part of each.
"""

from __future__ import annotations

import io
import random
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping

from edgemed.bundle import stored_zip

__all__ = ["Attack", "flips", "overwrites", "truncations", "zip_tricks"]

Attack = tuple[str, bytes]
_LOCAL_OFFSET = 42  # of the place of the local header, in a directory entry (APPNOTE 4.3.12)
_BOMB_BYTES = 1 << 24


def flips(raw: bytes, rng: random.Random, *, stride: int = 1) -> Iterator[Attack]:
    """Yield the file with one byte changed to another value, for every ``stride``-th byte."""
    for position in range(0, len(raw), stride):
        changed = bytearray(raw)
        changed[position] ^= rng.randrange(1, 256)
        yield f"byte {position}", bytes(changed)


def overwrites(raw: bytes, rng: random.Random, *, count: int) -> Iterator[Attack]:
    """Yield ``count`` files with 2 to 64 bytes overwritten, in a row or scattered."""
    for number in range(count):
        changed = bytearray(raw)
        size = rng.randrange(2, 65)
        start = rng.randrange(len(raw) - size)
        in_a_row = rng.random() < 0.5
        for step in range(size):
            position = start + step if in_a_row else rng.randrange(len(raw))
            changed[position] ^= rng.randrange(256)
        if changed != raw:
            yield f"overwrite {number}", bytes(changed)


def truncations(raw: bytes, *, step: int = 64) -> Iterator[Attack]:
    """Yield the file cut short at every ``step`` bytes."""
    for length in range(0, len(raw), step):
        yield f"cut at {length}", raw[:length]


def zip_tricks(raw: bytes) -> Iterator[Attack]:
    """Yield archives of a bundle's members in forms that other readers accept, or that reach outside a folder."""
    members = stored_zip.read(raw)
    first = next(iter(members))
    yield from _directories(raw)
    yield "deflated", _zipped(members, compression=zipfile.ZIP_DEFLATED)
    yield "model alone deflated", _zipped(members, change=_deflate("model/int8.tflite"))
    yield "bomb", _zipped({**members, "golden/00.png": bytes(_BOMB_BYTES)}, compression=zipfile.ZIP_DEFLATED)
    yield "nested bomb", _zipped({**members, "golden/00.png": _zipped({"a": bytes(_BOMB_BYTES)})})
    yield "declared size", raw[:18] + b"\xff\xff\xff\x7f" * 2 + raw[26:]
    yield "symbolic link", _zipped(members, change=_mode((stat.S_IFLNK | 0o777) << 16))
    yield "device file", _zipped(members, change=_mode((stat.S_IFCHR | 0o666) << 16))
    yield "executable", _zipped(members, change=_mode((stat.S_IFREG | 0o755) << 16))
    yield "member twice", _zipped(members, again={first: b"{}"})
    yield "manifest twice", _zipped(members, again={"manifest.json": members["manifest.json"]})
    names = (
        "../evil",
        "a/../../evil",
        "/etc/evil",
        "c:\\evil",
        "..\\evil",
        "a//b",
        "./a",
        "a\0b",
        "A",
        "a/",
        " a",
        "é",
    )
    for name in names:
        yield f"name {name!r}", _zipped({**members, name: b"evil"})
    yield "name only in the directory", raw.replace(first.encode(), b"x" * len(first), 2)[: len(raw)]
    yield "comment", raw[:-2] + struct.pack("<H", 4) + b"evil"
    yield "bytes before", b"#!/bin/sh\n" + raw
    yield "bytes after", raw + b"evil"
    yield "two archives", raw + raw
    yield "unsorted", _zipped(dict(reversed(members.items())))
    yield "dated", _zipped(members, change=lambda info: setattr(info, "date_time", (2024, 1, 1, 0, 0, 0)))
    yield "extra field", _zipped(members, change=lambda info: setattr(info, "extra", b"\1\2\0\0"))
    yield "64-bit end record", raw[:-22] + b"PK\6\6" + bytes(52) + b"PK\6\7" + bytes(16) + raw[-22:]


def _directories(raw: bytes) -> Iterator[Attack]:
    """Yield archives whose directory says otherwise than their local headers: overlaps, entries that are missing."""
    end = struct.unpack("<4s4H2IH", raw[-22:])
    start = end[6]
    entries = [start + at for at in range(len(raw) - start) if raw[start + at : start + at + 4] == b"PK\1\2"]
    second = bytearray(raw)
    second[entries[1] + _LOCAL_OFFSET : entries[1] + _LOCAL_OFFSET + 4] = bytes(4)
    yield "two entries over one member", bytes(second)
    inside = bytearray(raw)
    inside[entries[1] + _LOCAL_OFFSET : entries[1] + _LOCAL_OFFSET + 4] = struct.pack("<I", 34)
    yield "member inside another", bytes(inside)
    yield "entry missing", raw[: entries[-1]] + raw[-22:]
    yield "entry twice", raw[:-22] + raw[entries[-1] : len(raw) - 22] + raw[-22:]
    yield "no directory", raw[:start]


def _zipped(
    members: Mapping[str, bytes],
    *,
    compression: int = zipfile.ZIP_STORED,
    change: Callable[[zipfile.ZipInfo], None] = lambda _: None,
    again: Mapping[str, bytes] | None = None,
) -> bytes:
    """Return an archive that the standard library writes, in edgemed's form but for what is said."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as writer, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "Duplicate name": what two attacks are about
        for name, data in [*members.items(), *(again or {}).items()]:
            info = zipfile.ZipInfo("x", (1980, 1, 1, 0, 0, 0))
            info.filename = name  # past the constructor, which cuts a name at a zero byte
            info.external_attr = 0o100644 << 16
            info.create_version = 20
            info.compress_type = compression
            change(info)
            writer.writestr(info, data)
    return stream.getvalue()


def _mode(attributes: int) -> Callable[[zipfile.ZipInfo], None]:
    return lambda info: setattr(info, "external_attr", attributes)


def _deflate(name: str) -> Callable[[zipfile.ZipInfo], None]:
    def change(info: zipfile.ZipInfo) -> None:
        if info.filename == name:
            info.compress_type = zipfile.ZIP_DEFLATED

    return change
