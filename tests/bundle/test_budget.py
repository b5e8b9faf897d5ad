from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgemed.bundle import archive, budget, trust
from edgemed.errors import ConfigError
from edgemed.targets import Use
from tests.bundle.tiny import KEY, write_folder


def built(tmp_path: Path, text: str) -> bytes:
    (tmp_path / "budget.yaml").write_text(text)
    folder = write_folder(tmp_path / "artifact")
    return archive.build_from_folders(
        [folder], version="1.0.0", release=1, private_keys=[KEY], budget=tmp_path / "budget.yaml"
    )


def test_budget_travels_in_the_bundle_and_is_signed(tmp_path: Path) -> None:
    raw = built(tmp_path, "schema: 1\nxray-still:\n  total: {p90_ms: 80.0, p99_ms: 100.0}\n")
    opened = trust.verify(raw, keys=[KEY.public])
    asked = budget.of_bundle(opened.members)
    assert asked is not None
    assert dict(asked.limits(Use.XRAY_STILL)) == {("total", "p90"): 80.0, ("total", "p99"): 100.0}
    assert dict(asked.limits(Use.US_CINE_30)) == {}
    assert budget.MEMBER in opened.manifest.members


def test_budget_with_missing_units_is_refused_at_the_build(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        built(tmp_path, "schema: 1\nxray-still:\n  total: {p99: 100.0}\n")
    assert str(refused.value) == (
        f"{tmp_path / 'budget.yaml'}: xray-still.total.p99: unknown key; did you mean 'p99_ms'?"
    )


def test_bundle_without_a_budget_asks_for_none() -> None:
    assert budget.of_bundle({}) is None
    assert msgspec.json.encode(budget.BundleBudget(schema=1)) == b'{"schema":1}'
