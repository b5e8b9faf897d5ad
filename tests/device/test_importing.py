from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from edgemed import schema
from edgemed.device import contents, importing, install, provision, switch
from edgemed.device.store import Store
from edgemed.device.transports.directory import DOCUMENT, InstallDocument
from edgemed.errors import ConfigError, DeviceError, EdgemedError, InstallError
from tests.bundle import tiny
from tests.device import made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return provision.init(tmp_path / "store", target=made.TARGET, trust=made.TRUST).store


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def prepare(folder: Path, release: int, *, device: str = made.TARGET, **options: object) -> Path:
    """Write an install folder, as ``edgemed flash --to DIR`` does."""
    folder.mkdir(exist_ok=True)
    bundle = {key: options.pop(key) for key in ("name", "key") if key in options}
    raw = made.raw(release, **bundle)  # type: ignore[arg-type]  # options are those of `raw`
    (folder / "b.edgemed").write_bytes(raw)
    document = InstallDocument(
        device=device,
        name=bundle.get("name", "tiny"),
        version=f"{release}.0.0",
        file="b.edgemed",
        size_bytes=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        digest="sha256:" + "0" * 64,
        **options,
    )
    (folder / DOCUMENT).write_bytes(schema.encode_json(document))
    return folder


def bring(store: Store, folder: Path) -> importing.Imported:
    return importing.bring(store, folder, check=made.healthy)


def active(store: Store) -> int | None:
    found = contents.read(store).active
    return None if found is None else made.release(found.bundle)


def answer(folder: Path) -> dict[str, object]:
    (path,) = folder.glob("edgemed-result-*.json")
    return json.loads(path.read_text())


def test_stick_itself_is_installed_and_answered(store: Store, stick: Path) -> None:
    done = bring(store, prepare(stick, 1))

    assert (active(store), done.choice.passed_over) == (1, ())
    said = answer(stick)
    assert said["device"] == done.answer.name.removeprefix("edgemed-result-")[:16] + str(said["device"])[16:]  # type: ignore[union-attr]  # it was written
    assert {key: said[key] for key in ("schema", "target", "bundle", "result", "error")} == {
        "schema": 1,
        "target": made.TARGET,
        "bundle": done.installed.active.bundle.digest,
        "result": "installed",
        "error": None,
    }


def test_newest_of_several_folders_is_taken(store: Store, stick: Path) -> None:
    for release in (2, 11, 3):
        prepare(stick / f"r{release}", release)
    prepare(stick / "pi", 12, device="raspberry-pi-4")
    prepare(stick / "stranger", 13, key=tiny.STRANGER)

    done = bring(store, stick)

    assert active(store) == 11
    assert [said.split(": ")[0] for said in done.choice.passed_over] == [
        f"{stick}/pi",
        f"{stick}/stranger/b.edgemed",
    ]


def test_trial_is_taken_over_from_the_document(store: Store, stick: Path) -> None:
    bring(store, prepare(stick / "1", 1))
    bring(store, prepare(stick / "2", 2, tentative=4))

    trial = contents.read(store).tentative
    assert trial is not None
    assert trial.starts_left == 4


def test_active_bundle_on_the_stick_is_no_news(store: Store, stick: Path) -> None:
    bring(store, prepare(stick, 1))

    assert bring(store, stick).installed.result.value == "unchanged"
    assert answer(stick)["result"] == "unchanged"


def test_bundle_of_the_active_name_is_preferred(store: Store, stick: Path) -> None:
    bring(store, prepare(stick / "1", 1))
    prepare(stick / "2", 2)
    prepare(stick / "other", 99, name="other")

    bring(store, stick)

    assert active(store) == 2


def test_several_names_in_an_empty_store_are_a_question(store: Store, stick: Path) -> None:
    prepare(stick / "1", 1)
    prepare(stick / "other", 9, name="other")

    with pytest.raises(ConfigError) as caught:
        bring(store, stick)
    assert str(caught.value) == (
        f"{stick}: holds bundles of several names, other, tiny, and none of them is active here; "
        "name the folder of the one to import"
    )


def test_other_target_alone_is_a_refusal_of_its_class(store: Store, stick: Path) -> None:
    prepare(stick, 1, device="raspberry-pi-4")

    with pytest.raises(EdgemedError) as caught:
        bring(store, stick)
    assert (caught.value.exit_code, str(caught.value)) == (
        4,
        f"{stick}: was prepared for raspberry-pi-4, this device is {made.TARGET}",
    )


def test_older_release_is_refused(store: Store, stick: Path) -> None:
    bring(store, prepare(stick / "5", 5))

    with pytest.raises(EdgemedError) as caught:
        bring(store, prepare(stick / "4", 4))
    assert (caught.value.exit_code, str(caught.value)) == (
        5,
        "tiny 4.0.0: release 4 lies below the floor 5; use a newer bundle",
    )


def test_copy_that_was_cut_short_is_refused(store: Store, stick: Path) -> None:
    prepare(stick, 1)
    (stick / "b.edgemed").write_bytes(made.raw(1)[:-1])

    with pytest.raises(EdgemedError) as caught:
        bring(store, stick)
    assert (caught.value.exit_code, str(caught.value)) == (
        5,
        f"{stick}/b.edgemed: its bytes are not those that {DOCUMENT} names; write the folder again",
    )


def test_bundle_that_failed_here_is_left_alone_until_it_is_tried_by_hand(store: Store, stick: Path) -> None:
    prepare(stick, 1)
    with pytest.raises(InstallError):
        importing.bring(store, stick, check=made.failing)
    failed = answer(stick)

    with pytest.raises(DeviceError) as caught:
        bring(store, stick)

    path = stick / "b.edgemed"
    assert failed["result"] == "refused"
    assert failed["error"] == "tiny 1.0.0: golden vectors outside the tolerance; rolled back, no bundle is active"
    assert str(caught.value) == (
        f"{path}: failed, was cut or was rolled back on this device before; try once more with "
        f"'edgemed device install {path}'"
    )
    assert install.install(store, path, check=made.healthy).result.value == "installed"


def test_rolled_back_bundle_does_not_come_back_from_a_stick(store: Store, stick: Path) -> None:
    bring(store, prepare(stick / "1", 1))
    bring(store, prepare(stick / "2", 2))
    switch.rollback(store)

    with pytest.raises(DeviceError, match=r"2/b\.edgemed: failed, was cut or was rolled back on this device before; "):
        bring(store, stick / "2")


def test_install_that_is_cut_again_and_again_ends(store: Store, stick: Path) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    prepare(stick, 1)
    for _ in range(importing.TRIES):
        with pytest.raises(KeyboardInterrupt):
            importing.bring(store, stick, check=cut)  # type: ignore[arg-type]  # it never answers

    path = stick / "b.edgemed"
    with pytest.raises(DeviceError) as caught:
        bring(store, stick)
    assert str(caught.value) == (
        f"{path}: its install was cut 3 times on this device; try once more with 'edgemed device install {path}'"
    )


def test_empty_stick_and_no_stick_are_told_apart(store: Store, stick: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^{stick}: has no {DOCUMENT}; make it with 'edgemed flash BUNDLE "):
        bring(store, stick)
    with pytest.raises(ConfigError) as caught:
        bring(store, stick / "none")
    assert str(caught.value) == (
        f"{stick}/none: is no folder, expected a mounted stick or an install folder; is it mounted?"
    )


def test_folder_that_cannot_be_looked_at_is_named(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 300)

    with pytest.raises(DeviceError) as caught:
        bring(store, folder)
    assert str(caught.value) == f"{folder}: cannot be read: File name too long; is it mounted?"


@pytest.mark.skipif(os.geteuid() == 0, reason="a closed folder is open to root")
def test_lost_and_found_of_a_stick_is_passed_over(store: Store, stick: Path) -> None:
    prepare(stick / "release", 1)
    (stick / "lost+found").mkdir(mode=0)

    assert bring(store, stick).choice.folder == stick / "release"
