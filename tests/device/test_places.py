from __future__ import annotations

from pathlib import Path

import pytest

from edgemed import targets
from edgemed.device import places


def test_system_store_is_that_of_the_targets() -> None:
    paths = {targets.load(name).store.path for name in targets.available()} - {None}
    assert paths == {str(places.SYSTEM_STORE)}


def test_default_store_is_the_targets_or_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert places.default("/var/lib/edgemed") == Path("/var/lib/edgemed")
    assert places.default() == tmp_path / "edgemed" / "store"


def test_folder_that_cannot_be_looked_at_counts_as_a_store(tmp_path: Path) -> None:
    assert not places.has_store(tmp_path)
    assert places.has_store(tmp_path / ("a" * 300))
