"""edgemed.device.flash: nothing is sent before the plan stands, and the device's word is held against ours."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgemed.device import flash
from edgemed.device.transports import Active, Installed, Installing, Upload
from edgemed.errors import BundleError, DeviceError, RollbackError, TargetMismatchError
from tests.bundle import tiny
from tests.device import fakes

CARGO = fakes.cargo()


def flashed(device: fakes.MemoryDevice, progress: fakes.Progress | None = None) -> flash.FlashReport:
    return asyncio.run(
        flash.flash(CARGO, device, device=fakes.TARGET, how=Installing(), progress=progress or fakes.Progress())
    )


def test_device_gets_the_bundle_and_says_so() -> None:
    device, progress = fakes.MemoryDevice(), fakes.Progress()
    report = flashed(device, progress)
    assert (report.result, device.received) == ("installed", CARGO.upload.raw)
    assert device.calls == ["probe", "put", "install"]
    size = CARGO.upload.size_bytes
    assert progress.said == [("sending", size), 0, size, "memory: sent, now installing"]


def test_bundle_the_device_runs_is_not_sent_again() -> None:
    device = fakes.MemoryDevice(active=Active(name="tiny", version="1.0.0", digest=CARGO.upload.digest))
    assert flashed(device).result == "unchanged"
    assert device.calls == ["probe"]


def test_refusal_comes_before_the_first_byte() -> None:
    device = fakes.MemoryDevice(release_floors={"tiny": 5})
    with pytest.raises(RollbackError):
        flashed(device)
    assert (device.calls, device.received) == (["probe"], b"")


def test_bundle_for_another_device_is_refused_before_anything_is_asked() -> None:
    device = fakes.MemoryDevice()
    with pytest.raises(TargetMismatchError):
        asyncio.run(flash.flash(CARGO, device, device="jetson-nano", how=Installing(), progress=fakes.Progress()))
    assert device.calls == []


def test_upload_that_was_cut_goes_on_where_it_ended() -> None:
    device, progress = fakes.MemoryDevice(fails_at="put"), fakes.Progress()
    with pytest.raises(DeviceError):
        flashed(device)
    half = len(device.received)
    device.fails_at = None
    assert flashed(device, progress).result == "installed"
    assert progress.said[1:3] == [half, CARGO.upload.size_bytes - half]


def test_device_that_reports_another_bundle_is_not_believed() -> None:
    class Mistaken(fakes.MemoryDevice):
        async def install(self, upload: Upload, how: Installing) -> Installed:
            return Installed(result="installed", digest="sha256:" + "0" * 64, document={})

    with pytest.raises(DeviceError) as caught:
        flashed(Mistaken())
    assert str(caught.value) == (
        f"memory: reports sha256:{'0' * 64} as installed, expected {CARGO.upload.digest}; "
        "look at the device: 'edgemed device status'"
    )


def test_altered_bundle_is_refused_at_home(tmp_path: Path) -> None:
    raw = bytearray(tiny.build())
    raw[len(raw) // 2] ^= 1
    path = tmp_path / "tiny.edgemed"
    path.write_bytes(raw)
    with pytest.raises(BundleError, match=r"^.*tiny\.edgemed: "):
        flash.cargo(path)


def test_missing_bundle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.edgemed"
    with pytest.raises(BundleError) as caught:
        flash.cargo(path)
    assert str(caught.value) == (
        f"{path}: cannot be read: No such file or directory; check the path and its permissions"
    )
