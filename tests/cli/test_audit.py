"""``edgemed audit``, and what ``screen``, ``watch`` and ``device`` write down in a store."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemed.bundle import keys
from edgemed.cli import main
from edgemed.device import auditing, install
from edgemed.device import store as stores
from edgemed.errors import InstallError
from edgemed.records import places, reading
from tests.bundle.tiny import KEY
from tests.cli import test_device
from tests.device import made
from tests.runtime import tiny

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Return a function that runs ``edgemed`` in a folder with a store S, whose release 1 is active."""
    for name in ("config", "data"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    Path("my.pub").write_bytes(keys.encode_public(KEY.public))
    for release in (1, 2):
        Path(f"{release}.edgemed").write_bytes(test_device.bundle(release))
    Path("DOE.png").write_bytes(tiny.png(tiny.picture()))
    Path("ROE.png").write_bytes(b"no picture")
    np.save("cine.npy", np.stack([tiny.picture(seed=seed) for seed in range(3)]))
    assert main(["device", "init", "--store", "S", "--trust", "my.pub"]) == 0
    test_device.put(Path("S"), 1)
    capsys.readouterr()

    def ran(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return ran


def kinds(run: Ran) -> list[str]:
    code, out, err = run("audit", "export", "--store", "S")
    assert code == 0, err
    return [json.loads(line)["kind"] for line in out.splitlines()]


def results(query: str = "SELECT decision, refusal FROM results") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(Path("S") / places.RESULTS)) as connection:
        return connection.execute(query).fetchall()


def test_screening_with_a_store_is_recorded_without_names(run: Ran) -> None:
    code, out, err = run("screen", "DOE.png", "ROE.png", "--store", "S", "--json")
    assert (code, err.count("edgemed:")) == (8, 0)
    document = json.loads(out)
    stages = [entry["latency_ms"] for entry in document["results"]]
    assert all(stage["record"] > 0 for stage in stages)
    for stage in stages:
        parts = [value or 0.0 for name, value in stage.items() if name != "total"]
        assert stage["total"] == pytest.approx(sum(parts), abs=1e-3)  # each is rounded to 0.1 us
    assert results() == [(document["results"][0]["decision"], None), ("refused", "unreadable")]
    assert "refused" in kinds(run)
    written = b"".join(path.read_bytes() for path in Path("S/records").rglob("*") if path.is_file())
    assert b"DOE" not in written
    assert b"ROE" not in written


def test_no_record_writes_nothing_and_takes_no_time(run: Ran) -> None:
    code, out, _ = run("screen", "DOE.png", "--store", "S", "--no-record", "--json")
    assert code == 0
    assert json.loads(out)["results"][0]["latency_ms"]["record"] == 0.0
    assert not (Path("S") / places.RESULTS).exists()


def test_store_without_a_folder_for_records_gets_none(run: Ran) -> None:
    shutil.rmtree("S/records")
    assert run("screen", "DOE.png", "--store", "S")[0] == 0
    assert not Path("S/records").exists()


def test_records_asked_for_without_a_store_are_refused(run: Ran) -> None:
    code, _, err = run("screen", "DOE.png", "--bundle", "1.edgemed", "--trust", "my.pub", "--record")
    assert (code, err.splitlines()[-1]) == (
        2,
        "edgemed: --record: records lie in a device store, got --bundle; give --store, or leave --record away",
    )


@pytest.mark.parametrize(("words", "code"), [((), 0), (("--record",), 6)], ids=["by default", "asked for"])
def test_screening_goes_on_where_records_cannot_be_written(run: Ran, words: tuple[str, ...], code: int) -> None:
    # A folder in the place of the file: what root cannot write either, as on a store that is mounted read-only.
    (Path("S") / places.RESULTS).mkdir()
    got, out, err = run("screen", "DOE.png", "DOE.png", "--store", "S", "--json", *words)
    assert got == code
    assert "refused" not in [entry["decision"] for entry in json.loads(out)["results"]]
    assert [line for line in err.splitlines() if "records" in line] == [
        "edgemed: records: S/records/results.sqlite3: results cannot be written: unable to open database file; check "
        "the disk, its free space and its permissions"
    ]


def test_watch_is_recorded_and_tells_its_sinks(run: Ran) -> None:
    code, out, err = run("watch", "cine.npy", "--store", "S", "--json", "--sink", "file:alerts.jsonl")
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    frames, events = ([line for line in lines if ("event" in line) is is_event] for is_event in (False, True))
    assert all(line["latency_ms"]["record"] > 0 for line in frames)
    assert results("SELECT frame, decision, state FROM results") == [
        (line["frame"], line["decision"], line["state"]) for line in frames
    ]
    told = [event["event"] for event in events]
    assert [row[0] for row in results("SELECT event FROM changes")] == told
    assert kinds(run)[1:] == [f"watch-{event}" for event in told]
    sent = [json.loads(line) for line in Path("alerts.jsonl").read_text().splitlines()]
    assert [document["event"] for document in sent] == told
    assert all("at" in document and "detail" not in document for document in sent)
    assert "cine" not in Path("alerts.jsonl").read_text()


def test_sink_that_cannot_be_opened_stops_before_the_stream(run: Ran) -> None:
    code, out, err = run("watch", "cine.npy", "--store", "S", "--sink", "file:gone/alerts.jsonl")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        "edgemed: sink 'file:gone/alerts.jsonl': cannot be written: No such file or directory; choose another path"
    )


def test_what_is_done_to_a_store_is_in_its_log(run: Ran) -> None:
    opened = stores.open_store(Path("S"))
    with pytest.raises(InstallError):
        install.install(opened, Path("2.edgemed"), check=made.failing)
    install.install(opened, Path("2.edgemed"), tentative=3, check=made.healthy)
    assert run("device", "commit", "--store", "S")[0] == 0
    assert run("device", "rollback", "--store", "S")[0] == 0
    expected = ["installed", "failed", "tentative", "committed", "rolled-back"]
    assert kinds(run) == [f"bundle-{event}" for event in expected]
    assert [entry.event.value for entry in opened.state().history] == expected


def test_what_a_cut_has_kept_from_the_log_is_in_it_after_the_next_change(run: Ran) -> None:
    shutil.rmtree(Path("S") / places.AUDIT)
    test_device.put(Path("S"), 2)
    assert kinds(run) == ["bundle-installed", "bundle-installed"]
    assert auditing.catch_up(stores.open_store(Path("S"))) == ()
    assert len(kinds(run)) == 2


def test_log_that_cannot_be_written_is_a_warning(run: Ran) -> None:
    shutil.rmtree(Path("S") / places.AUDIT)
    (Path("S") / places.AUDIT).write_bytes(b"")
    done = install.install(stores.open_store(Path("S")), Path("2.edgemed"), check=made.healthy)
    assert done.result is install.Result.INSTALLED
    assert done.warnings == (
        "the audit log lacks what was done here: S/records/audit: the audit log cannot be written: File exists; check "
        "permissions and free space",
    )


def test_sound_log_is_verified(run: Ran) -> None:
    code, out, err = run("audit", "verify", "--store", "S", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert list(document) == ["schema_version", "verified", "log", "first", "last", "digest", "unsealed", "torn_bytes"]
    assert {key: document[key] for key in ("verified", "first", "last", "unsealed", "torn_bytes")} == {
        "verified": True,
        "first": 1,
        "last": 1,
        "unsealed": 0,
        "torn_bytes": 0,
    }
    code, out, err = run("audit", "verify", "--store", "S")
    assert (code, out.splitlines()[:2], err) == (0, ["verified  S/records/audit", "entries   1 to 1"], "")


def test_what_a_power_cut_leaves_is_told_and_is_no_error(run: Ran) -> None:
    (segment,) = (Path("S") / places.AUDIT).glob("*.jsonl")
    with segment.open("ab") as stream:
        stream.write(b'{"fac')
    code, _, err = run("audit", "verify", "--store", "S")
    assert (code, err) == (0, "edgemed: a last line is torn (5 bytes); a power cut leaves such\n")


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "changed": (
        lambda raw: raw.replace(b'"release":1', b'"release":7'),
        "audit: entry 2: does not follow the line before it; lines were changed or removed",
    ),
    "cut off": (
        lambda raw: raw[: raw.index(b"\n") + 1],
        "audit: ends at entry 1, expected entry 2, which was signed; lines were cut off",
    ),
    "another order": (
        lambda raw: b"\n".join(reversed(raw.splitlines())) + b"\n",
        "audit: entry 1: does not follow the line before it; lines were changed or removed",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_tampered_log_is_refused(run: Ran, damage: Callable[[bytes], bytes], message: str) -> None:
    test_device.put(Path("S"), 2)
    (segment,) = (Path("S") / places.AUDIT).glob("*.jsonl")
    segment.write_bytes(damage(segment.read_bytes()))
    for verb in ("verify", "export"):
        assert run("audit", verb, "--store", "S") == (5, "", f"edgemed: {message}\n")


def test_exported_log_is_checked_elsewhere_and_shows_one_that_was_put_back(run: Ran) -> None:
    audit = Path("S") / places.AUDIT
    shutil.copytree(audit, "old")
    test_device.put(Path("S"), 2)
    code, out, err = run("audit", "export", "--store", "S", "--out", "E", "--json")
    assert (code, err) == (0, "edgemed: 2 entries are in E\n")
    assert [entry["kind"] for entry in json.loads(out)["entries"]] == ["bundle-installed", "bundle-installed"]
    elsewhere = ("audit", "verify", "--log", "E", "--key", "E/signing.pub")
    assert run(*elsewhere)[0] == 0
    shutil.rmtree(audit)
    shutil.copytree("old", audit)
    assert run("audit", "verify", "--store", "S")[0] == 0
    assert run("audit", "verify", "--store", "S", "--known", f"E/{reading.HEAD}") == (
        5,
        "",
        "edgemed: audit: ends at entry 1, expected entry 2, which was signed; lines were cut off\n",
    )


def test_log_of_another_device_is_refused(run: Ran) -> None:
    own = keys.read_public(Path("S/identity/signing.pub")).keyid[:16]
    assert run("audit", "verify", "--log", f"S/{places.AUDIT}", "--key", "my.pub") == (
        5,
        "",
        f"edgemed: audit/head.dsse: signed by {own}, expected the device's key {KEY.public.keyid[:16]}; give the "
        "public key of the device that wrote the log\n",
    )


WRONG = {
    "key without log": (["--key", "my.pub"], 2, "--key: is of use with --log alone; a store has its device's key"),
    "log without key": (
        ["--log", "S/records/audit"],
        2,
        "--log: expected --key with the public key of the device that wrote the log, got none",
    ),
    "log and store": (
        ["--log", "x", "--key", "my.pub", "--store", "S"],
        2,
        "--store: is of no use with --log; give one of the two",
    ),
    "no log": (
        ["--log", "gone", "--key", "my.pub"],
        5,
        "gone: expected head.dsse, found none; it was removed, or this is no audit log",
    ),
    "no store": (
        ["--store", "gone"],
        2,
        "gone/identity/signing.pub: cannot be read: No such file or directory; check the path and its permissions",
    ),
}


@pytest.mark.parametrize(("words", "code", "message"), WRONG.values(), ids=WRONG)
def test_wrong_words_are_told(run: Ran, words: list[str], code: int, message: str) -> None:
    assert run("audit", "verify", *words) == (code, "", f"edgemed: {message}\n")
