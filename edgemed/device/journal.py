"""The journal of a roll-out: one JSON line for each device that is done, synced before the next is counted.

Rules: the first line names the bundle; a journal of another bundle is never gone on with; a last line that a power cut
has left half-written is dropped, the device it spoke of is asked again.

    book = journal.begin(path, digest)
    book = journal.resume(path, digest)
    book.add(outcome)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from edgemed import files, schema
from edgemed.errors import ConfigError

__all__ = ["Journal", "Outcome", "begin", "resume"]

_LIMIT_BYTES = 64 << 20


class _Heading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: Literal[1] = 1
    digest: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of one device.

    Attributes:
        name: as the inventory has it.
        device: id of its target.
        to: its address, as the inventory has it.
        stage: ``canary`` or ``fleet``.
        result: ``installed``, ``tentative``, ``unchanged``, ``prepared`` or ``failed``.
        error: the one line that says why; None unless failed.
        exit_code: of the error's class; 0 unless failed.
        seconds: wall time of the attempt.
        unit: id of the device's own key; None where it did not say.
        prepared: what was done before the bundle, in words; None where nothing was.
    """

    name: str
    device: str
    to: str
    stage: str
    result: str
    error: str | None
    exit_code: int
    seconds: float
    unit: str | None = None
    prepared: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the device does not run the bundle."""
        return self.result == "failed"


class Journal:
    """An open journal; what it was resumed with is in ``before``."""

    def __init__(self, path: Path, before: tuple[Outcome, ...]) -> None:
        self.path = path
        self.before = before

    def add(self, outcome: Outcome) -> None:
        """Write one line and sync it.

        Raises:
            ConfigError: the file cannot be written.
        """
        _append(self.path, schema.encode_json(outcome) + b"\n")


def begin(path: Path, digest: str) -> Journal:
    """Start a journal anew.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        files.write_atomic(path, schema.encode_json(_Heading(digest=digest)) + b"\n")
    except OSError as err:
        raise ConfigError(
            f"{path}: cannot be written: {err.strerror or err}; keep the inventory in another folder"
        ) from err
    return Journal(path, ())


def resume(path: Path, digest: str) -> Journal:
    """Go on with a journal; of a device with several lines the last one counts.

    Raises:
        ConfigError: there is none, it is of another bundle, or a line of it is wrong.
    """
    if not path.exists():
        raise ConfigError(f"--resume: {path}: does not exist; leave --resume away to begin")
    raw = files.read_bounded(path, limit_bytes=_LIMIT_BYTES, error=ConfigError)
    whole, _, cut = raw.rpartition(b"\n")
    if cut:
        files.write_atomic(path, whole + b"\n")
    lines = whole.split(b"\n")
    heading = schema.decode_json(lines[0], _Heading, source=f"{path}:1")
    if heading.digest != digest:
        raise ConfigError(f"--resume: {path}: is of bundle {heading.digest}, this one is {digest}; leave --resume away")
    found = [schema.decode_json(line, Outcome, source=f"{path}:{number}") for number, line in enumerate(lines[1:], 2)]
    return Journal(path, tuple({outcome.name: outcome for outcome in found}.values()))


def _append(path: Path, line: bytes) -> None:
    try:
        with path.open("ab") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as err:
        raise ConfigError(
            f"{path}: cannot be written: {err.strerror or err}; make room, then go on with --resume"
        ) from err
