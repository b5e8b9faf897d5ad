"""Damaged image files for fuzzing, and the process that has to survive them.

Case n is always the same bytes: it depends on its number and the files alone. `benchmarks/fuzz_images.py` runs as many
as it is told, the test some hundred.

    with Decoder(memory_bytes=2 << 30) as decoder:
        for number in range(300):
            outcome = decoder.decode(damaged(files, number), limit_s=10.0)
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import random
import re
import resource
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from edgemed.errors import EdgemedError
from edgemed.imaging import readers

_FIELDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_HEADER_BYTES = 1024
# Not forked: the libraries of the parent have threads, whose locks a fork would leave held.
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Outcome:
    """What became of one file: ``frames``, ``refused``, or what must not be: ``escaped``, ``crashed``, ``hung``."""

    kind: str
    words: str = ""

    @property
    def sound(self) -> bool:
        return self.kind in ("frames", "refused")


def stills(picture: np.ndarray) -> dict[str, bytes]:
    """Return a picture in every format that OpenCV and NumPy write, in 8 and 16 bits, gray and colour."""
    deep = picture.astype(np.uint16) * 257
    colour = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    pixels = {"gray": picture, "deep": deep, "colour": colour}
    made = {
        f"{name}{suffix}": cv2.imencode(suffix, image)[1].tobytes()
        for name, image in pixels.items()
        for suffix in (".png", ".jpg", ".tif")
        if not (name == "deep" and suffix == ".jpg")
    }
    made["pages.tif"] = cv2.imencodemulti(".tif", [picture, deep])[1].tobytes()
    progressive = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 4]
    made["progressive.jpg"] = cv2.imencode(".jpg", colour, progressive)[1].tobytes()
    for name, image in (("gray.npy", picture), ("deep.npy", deep)):
        stream = io.BytesIO()
        np.save(stream, image)
        made[name] = stream.getvalue()
    return made


def damaged(files: Mapping[str, bytes], number: int) -> bytes:
    """Return the file of a case: one of the files, taken in turns, with one to four kinds of damage."""
    chance = random.Random(number)
    names = sorted(files)
    raw = bytearray(files[names[number % len(names)]])
    other = files[chance.choice(names)]
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        chance.choice(_DAMAGE)(raw, chance, other)
        if not raw:
            break
    return bytes(raw)


def _place(raw: bytearray, chance: random.Random) -> int:
    """Choose a place, every other time in the header."""
    return chance.randrange(min(len(raw), chance.choice((_HEADER_BYTES, len(raw)))) or 1)


def _flip(raw: bytearray, chance: random.Random, other: bytes) -> None:
    for _ in range(chance.choice((1, 2, 8, 64))):
        raw[_place(raw, chance)] ^= 1 << chance.randrange(8)


def _field(raw: bytearray, chance: random.Random, other: bytes) -> None:
    size = chance.choice((1, 2, 4))
    value = chance.choice(_FIELDS) & ((1 << 8 * size) - 1)
    place = _place(raw, chance)
    raw[place : place + size] = value.to_bytes(size, chance.choice(("little", "big")))


def _cut(raw: bytearray, chance: random.Random, other: bytes) -> None:
    del raw[_place(raw, chance) :]


def _remove(raw: bytearray, chance: random.Random, other: bytes) -> None:
    place = _place(raw, chance)
    del raw[place : place + chance.choice((1, 2, 8, 100, 5000))]


def _insert(raw: bytearray, chance: random.Random, other: bytes) -> None:
    place = _place(raw, chance)
    raw[place:place] = chance.randbytes(chance.choice((1, 4, 100, 5000)))


def _splice(raw: bytearray, chance: random.Random, other: bytes) -> None:
    start = chance.randrange(len(other))
    place = _place(raw, chance)
    raw[place : place + 64] = other[start : start + chance.choice((8, 64, 2000))]


def _repeat(raw: bytearray, chance: random.Random, other: bytes) -> None:
    start, place = _place(raw, chance), _place(raw, chance)
    raw[place:place] = raw[start : start + chance.choice((8, 64, 2000))] * chance.choice((1, 3, 20))


def _blank(raw: bytearray, chance: random.Random, other: bytes) -> None:
    place = _place(raw, chance)
    stop = min(len(raw), place + chance.choice((4, 64, 2000)))
    raw[place:stop] = bytes([chance.choice((0, 0xFF))]) * (stop - place)


_DAMAGE: Sequence[Callable[[bytearray, random.Random, bytes], None]] = (
    _flip,
    _field,
    _field,
    _cut,
    _remove,
    _insert,
    _splice,
    _repeat,
    _blank,
)


class Decoder:
    """A process that decodes what it is given, within so much memory; one that ends or hangs is replaced."""

    def __init__(self, *, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._child, self._pipe = self._started()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ended()

    def decode(self, raw: bytes, *, limit_s: float) -> Outcome:
        """Return what becomes of a file."""
        try:
            self._pipe.send_bytes(b"file" + raw)
            if self._pipe.poll(limit_s):
                kind, _, words = self._pipe.recv_bytes().decode().partition(" ")
                return Outcome(kind, words)
            outcome = Outcome("hung", f"no answer within {limit_s:g} s")
        except (EOFError, ConnectionError):
            self._child.join()
            outcome = Outcome("crashed", f"exit code {self._child.exitcode}")
        self._ended()
        self._child, self._pipe = self._started()
        return outcome

    def peak_bytes(self) -> int:
        """Return the most memory that the process at work has held."""
        self._pipe.send_bytes(b"peak")
        return int(self._pipe.recv_bytes())

    def _started(self) -> tuple[multiprocessing.process.BaseProcess, Connection]:
        here, there = _SPAWN.Pipe()
        child = _SPAWN.Process(target=_serve, args=(there, self._memory_bytes), daemon=True)
        child.start()
        there.close()
        here.recv_bytes()  # it has started: the time that takes is not a file's
        return child, here

    def _ended(self) -> None:
        self._pipe.close()
        self._child.kill()
        self._child.join()


def _serve(pipe: Connection, memory_bytes: int) -> None:
    """Answer until the pipe is closed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    cv2.setNumThreads(1)
    # Beyond what is mapped already, the libraries.
    mapped = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")  # noqa: PTH123, SIM115
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes, mapped + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe.send_bytes(b"ready")
    with contextlib.suppress(EOFError):
        while True:
            asked = pipe.recv_bytes()
            pipe.send_bytes(str(_peak_bytes()).encode() if asked == b"peak" else _judged(asked[4:]))


def _judged(raw: bytes) -> bytes:
    try:
        return b"frames %d" % sum(1 for _ in readers.decode(raw, source="x"))
    except EdgemedError as err:
        return f"refused {err}".encode()
    except BaseException:  # noqa: BLE001  # whatever gets out is the finding
        return f"escaped {traceback.format_exc()}".encode()


def _peak_bytes() -> int:
    # Not getrusage: what the process held that this one was forked from counts there.
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    return 1024 * int(peak)
