"""The audit log on disk: what was written is found again, and what was done to it shows."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edgemed.bundle import keys
from edgemed.errors import DeviceError, DigestError, EdgemedError, SignatureError
from edgemed.records import audit, reading
from edgemed.records.log import AuditLog, Bounds

KEY = keys.PrivateKey(seed=bytes(range(32)))
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
SMALL = Bounds(segment_bytes=600, segments=3)


def written(folder: Path, count: int, *, bounds: Bounds | None = None) -> Path:
    with AuditLog.open(folder, KEY, bounds=bounds) as opened:
        for number in range(count):
            opened.append("alert-raised", {"frame": number, "score": 0.5}, now=NOW)
            opened.seal()
    return folder


def verify(folder: Path) -> audit.Verified:
    return reading.verify(folder, keys=[KEY.public])


def only_segment(folder: Path) -> Path:
    (segment,) = folder.glob("*.jsonl")
    return segment


def test_log_is_found_whole_and_goes_on(tmp_path: Path) -> None:
    folder = written(tmp_path / "audit", 3)
    written(folder, 2)
    verified = verify(folder)
    assert (verified.first, verified.last, verified.unsealed) == (1, 5, 0)
    entries = [audit.parse(line, source="") for line in reading.lines(folder)]
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].previous == audit.GENESIS
    assert entries[0].time == "2026-01-02T03:04:05.000+00:00"


def test_old_segments_go_and_the_rest_is_still_verified(tmp_path: Path) -> None:
    folder = written(tmp_path / "audit", 40, bounds=SMALL)
    verified = verify(folder)
    assert len(list(folder.glob("*.jsonl"))) == 3
    assert verified.first > 1
    assert verified.last == 40


def test_segment_that_should_have_gone_does_no_harm(tmp_path: Path) -> None:
    folder = written(tmp_path / "audit", 4, bounds=SMALL)
    first = folder / f"{1:020d}.jsonl"
    kept = first.read_bytes()
    written(folder, 20, bounds=SMALL)
    assert not first.exists()
    first.write_bytes(kept)  # as if the power went between the head and the removal
    assert verify(folder).last == 24
    written(folder, 1, bounds=SMALL)
    assert not first.exists()


def test_every_flipped_byte_shows(tmp_path: Path) -> None:
    folder = written(tmp_path / "audit", 3)
    for path in (only_segment(folder), folder / "head.dsse"):
        sound = path.read_bytes()
        for place in range(len(sound)):
            path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
            with pytest.raises((DigestError, SignatureError)):
                verify(folder)
        path.write_bytes(sound)
    assert verify(folder).last == 3


@pytest.mark.parametrize("kept", [order for order in itertools.product((0, 1, 2), repeat=3) if order != (0, 1, 2)])
def test_lines_in_any_other_order_are_refused(tmp_path: Path, kept: tuple[int, ...]) -> None:
    folder = written(tmp_path / "audit", 3)
    segment = only_segment(folder)
    whole = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(whole[index] for index in kept))
    with pytest.raises(DigestError):
        verify(folder)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "audit", 3)
    segment = only_segment(folder)
    sound = segment.read_bytes()
    for size in range(len(sound)):
        segment.write_bytes(sound[:size])
        with pytest.raises(DigestError) as caught:
            verify(folder)
        ended = sound[:size].count(b"\n")
        assert str(caught.value) == (
            f"audit: ends at entry {ended}, expected entry 3, which was signed; lines were cut off"
        )


def test_log_put_back_with_its_old_head_is_shown_by_an_exported_head(tmp_path: Path) -> None:
    folder = written(tmp_path / "audit", 2)
    old = {path.name: path.read_bytes() for path in folder.iterdir()}
    written(folder, 2)
    exported = audit.open_head((folder / "head.dsse").read_bytes(), keys=[KEY.public], source="head.dsse")
    for name, raw in old.items():
        (folder / name).write_bytes(raw)
    assert verify(folder).last == 2
    with pytest.raises(DigestError, match="ends at entry 2, expected entry 4"):
        reading.verify(folder, keys=[KEY.public], known=[exported])


@pytest.mark.parametrize("torn", [1, 40])
def test_power_cut_inside_a_line_loses_that_line_alone(tmp_path: Path, torn: int) -> None:
    folder = written(tmp_path / "audit", 3)
    segment = only_segment(folder)
    with segment.open("ab") as stream:
        stream.write(segment.read_bytes()[:torn])
    assert verify(folder).last == 3
    written(folder, 1)
    assert verify(folder).last == 4


def test_power_cut_between_lines_and_head_is_told(tmp_path: Path) -> None:
    folder = written(tmp_path / "audit", 3)
    head = (folder / "head.dsse").read_bytes()
    written(folder, 2)
    (folder / "head.dsse").write_bytes(head)
    assert (verify(folder).last, verify(folder).unsealed) == (5, 2)
    written(folder, 1)
    assert (verify(folder).last, verify(folder).unsealed) == (6, 0)


def test_log_without_its_head_is_not_written_to(tmp_path: Path) -> None:
    folder = written(tmp_path / "audit", 1)
    (folder / "head.dsse").unlink()
    before = only_segment(folder).read_bytes()
    with pytest.raises(DigestError) as caught:
        AuditLog.open(folder, KEY)
    assert str(caught.value) == f"{folder}: expected head.dsse, found lines without one; it was removed"
    assert only_segment(folder).read_bytes() == before


def test_head_of_another_device_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "audit", 1)
    other = keys.PrivateKey(seed=bytes(32))
    with pytest.raises(SignatureError) as caught:
        AuditLog.open(folder, other)
    assert str(caught.value) == (
        f"audit/head.dsse: signed by {KEY.public.keyid[:16]}, expected the device's key {other.public.keyid[:16]}; "
        "give the public key of the device that wrote the log"
    )


def test_full_disk_is_told_and_the_next_seal_writes_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "audit", 1)
    opened = AuditLog.open(folder, KEY)
    opened.append("frame-lost", {"frame": 1}, now=NOW)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(DeviceError) as caught:
            opened.seal()
    assert str(caught.value) == (
        f"{folder}: the audit log cannot be written: No space left on device; check permissions and free space"
    )
    opened.append("frame-lost", {"frame": 2}, now=NOW)
    opened.seal()
    assert verify(folder).last == 3


def test_long_line_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    with AuditLog.open(tmp_path / "audit", KEY) as opened:
        opened.append("start", {}, now=NOW)
        with pytest.raises(ValueError, match="expected a line of at most 16384 bytes"):
            opened.append("note", {"text": "x" * 20000}, now=NOW)
        opened.append("stop", {}, now=NOW)
    assert verify(tmp_path / "audit").last == 2


NO_ENTRIES = {
    "kind": ("Alert raised", {}, "entry: kind: expected `str` matching regex '^[a-z][a-z0-9-]{0,62}\\\\Z'"),
    "facts": ("note", {"frames": [1]}, "entry: facts[...]: expected "),
}


@pytest.mark.parametrize("name", NO_ENTRIES)
def test_entry_that_would_be_refused_later_is_not_taken(tmp_path: Path, name: str) -> None:
    kind, facts, message = NO_ENTRIES[name]
    with AuditLog.open(tmp_path / "audit", KEY) as opened:
        with pytest.raises(ValueError) as caught:
            opened.append(kind, facts, now=NOW)  # type: ignore[arg-type]
        opened.append("stop", {}, now=NOW)
    assert str(caught.value).startswith(message)
    assert verify(tmp_path / "audit").last == 1


def test_power_cut_before_the_first_line_of_a_segment_leaves_no_empty_one(tmp_path: Path) -> None:
    folder = written(tmp_path / "audit", 4, bounds=SMALL)
    (folder / f"{5:020d}.jsonl").touch()
    # More room than before: the next lines go into the older segment, and the empty one would stand behind them.
    written(folder, 3, bounds=Bounds(segment_bytes=6000))
    assert [path.stem.lstrip("0") for path in sorted(folder.glob("*.jsonl"))] == ["1"]
    assert verify(folder).last == 7


def test_old_segment_that_cannot_be_removed_is_told_and_nothing_is_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "audit", 6, bounds=SMALL)
    opened = AuditLog.open(folder, KEY, bounds=Bounds(segment_bytes=1, segments=2))
    opened.append("stop", {}, now=NOW)

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refused)
        with pytest.raises(DeviceError):
            opened.seal()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    opened.seal()
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert verify(folder).last == 7


def test_any_bytes_give_a_value_or_an_error(tmp_path: Path, rng) -> None:  # type: ignore[no-untyped-def]
    folder = written(tmp_path / "audit", 2)
    for path in (only_segment(folder), folder / "head.dsse"):
        sound = bytearray(path.read_bytes())
        for _ in range(100):
            damaged = bytearray(sound)
            for place in rng.integers(0, len(sound), 3):
                damaged[place] = int(rng.integers(0, 256))
            path.write_bytes(bytes(damaged))
            try:
                verify(folder)
            except EdgemedError:
                continue
            assert damaged == sound
        path.write_bytes(bytes(sound))
