"""edgemed.device.transports.directory: install folders on sticks."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.device import flash
from edgemed.device.plan import Action
from edgemed.device.transports import Installing, directory
from edgemed.errors import ConfigError, DeviceError, DigestError, EdgemedError
from tests.device import fakes

CARGO = fakes.cargo()


def flashed(folder: Path, how: Installing = Installing()) -> flash.FlashReport:  # noqa: B008 - a frozen value
    session = directory.Session(folder, device=fakes.TARGET)
    return asyncio.run(flash.flash(CARGO, session, device=fakes.TARGET, how=how, progress=fakes.Progress()))


def test_folder_holds_the_bundle_and_says_which(tmp_path: Path) -> None:
    report = flashed(tmp_path, Installing(tentative=2))
    assert (report.result, report.plan.action) == ("prepared", Action.PREPARE)
    assert names(tmp_path) == ["edgemed-install.json", "tiny-1.0.0.edgemed"]
    document, bundle = directory.read(tmp_path)
    assert bundle.read_bytes() == CARGO.upload.raw
    assert (document.device, document.name, document.version, document.tentative) == (
        *("generic-x86-64", "tiny", "1.0.0"),
        2,
    )


def test_folder_is_written_again_over_an_older_one(tmp_path: Path) -> None:
    flashed(tmp_path)
    (tmp_path / "tiny-1.0.0.edgemed").write_bytes(b"cut sho")
    flashed(tmp_path)
    assert directory.read(tmp_path)[1].read_bytes() == CARGO.upload.raw


def test_copy_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    flashed(tmp_path)
    bundle = tmp_path / "tiny-1.0.0.edgemed"
    bundle.write_bytes(CARGO.upload.raw[:-1])
    with pytest.raises(DigestError) as caught:
        directory.read(tmp_path)
    assert str(caught.value) == (
        f"{bundle}: its bytes are not those that edgemed-install.json names; write the folder again"
    )


def test_folder_without_the_document_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        directory.read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: has no edgemed-install.json; make it with 'edgemed flash BUNDLE --device ID --to {tmp_path}'"
    )


def test_document_names_no_file_outside_its_folder(tmp_path: Path) -> None:
    flashed(tmp_path)
    path = tmp_path / directory.DOCUMENT
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "file": "../x.edgemed"}), "utf-8")
    with pytest.raises(ConfigError, match=r"edgemed-install\.json: file: expected `str` matching regex"):
        directory.read(tmp_path)


def test_stick_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        flashed(tmp_path / "stick")
    assert str(caught.value) == (
        f"{tmp_path / 'stick'}: is no folder, expected one on a mounted stick or card; is it mounted?"
    )


def test_device_store_is_no_install_folder(tmp_path: Path) -> None:
    (tmp_path / "format.json").write_text("{}", "utf-8")
    with pytest.raises(DeviceError) as caught:
        flashed(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: is a device store, expected a folder to write an install folder into; "
        f"on the device itself run 'edgemed device install FILE --store {tmp_path}'"
    )


def test_stick_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "tiny-1.0.0.edgemed").mkdir()
    with pytest.raises(DeviceError) as caught:
        flashed(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'tiny-1.0.0.edgemed'}: cannot be written: Is a directory; "
        "is the stick writable, and is there room on it?"
    )
    assert names(tmp_path) == ["tiny-1.0.0.edgemed"]


def test_ctrl_c_between_the_two_files_leaves_no_install_folder(tmp_path: Path) -> None:
    class Interrupted(directory.Session):
        async def install(self, *_: object) -> directory.Installed:  # type: ignore[override]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(
            flash.flash(
                CARGO,
                Interrupted(tmp_path, device=fakes.TARGET),
                device=fakes.TARGET,
                how=Installing(),
                progress=fakes.Progress(),
            )
        )
    with pytest.raises(ConfigError, match=r"has no edgemed-install\.json"):
        directory.read(tmp_path)


def test_ctrl_c_in_the_middle_of_a_file_leaves_the_older_folder(tmp_path: Path) -> None:
    flashed(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def advance(_: int) -> None:
        raise KeyboardInterrupt

    session = directory.Session(tmp_path, device=fakes.TARGET)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(session.put(fakes.cargo(padding=4096).upload, offset=0, advance=advance))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@given(raw=st.binary(max_size=300))
def test_any_document_is_read_or_refused(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("stick")
    (folder / directory.DOCUMENT).write_bytes(raw)
    with pytest.raises(EdgemedError):
        directory.read(folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
