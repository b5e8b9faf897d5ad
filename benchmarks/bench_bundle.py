"""Bundles: looked at, verified in full, and flashed into a folder as onto a stick."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from edgemed import shipped
from edgemed.bundle import trust
from edgemed.device import flash
from edgemed.device.transports import Installing
from edgemed.device.transports.directory import Session

DEVICE = "raspberry-pi-5"


@pytest.fixture(params=shipped.names())
def path(request: pytest.FixtureRequest) -> Path:
    return shipped.bundle_path(request.param)


def bench_inspect(benchmark: Any, path: Path) -> None:
    raw = path.read_bytes()

    assert benchmark(trust.inspect, raw).manifest.name == path.stem


def bench_verify(benchmark: Any, path: Path) -> None:
    raw, keys = path.read_bytes(), [shipped.demo_key()]

    assert benchmark(lambda: trust.verify(raw, keys=keys)).manifest.name == path.stem


def bench_flash_to_a_folder(benchmark: Any, path: Path, tmp_path: Path) -> None:
    folders = (tmp_path / str(number) for number in itertools.count())

    def flashed() -> str:
        folder = next(folders)
        folder.mkdir()
        done = flash.flash(
            flash.cargo(path), Session(folder, device=DEVICE), device=DEVICE, how=Installing(), progress=_Silent()
        )
        return asyncio.run(done).plan.action.value

    assert benchmark(flashed)


class _Silent:
    def start(self, what: str, total: int) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass
