from __future__ import annotations

from pathlib import Path

import pytest

from edgemed.errors import BundleError, ConfigError, SignatureError, TargetMismatchError
from edgemed.runtime.screener import Screener
from tests.bundle.tiny import KEY, STRANGER
from tests.runtime import tiny


def test_screener_knows_which_model_it_runs_for_which_target() -> None:
    bundle = tiny.bundle(tiny.model(), targets=("raspberry-pi-5",))

    selected = Screener.open(bundle, target="raspberry-pi-5").selection

    assert (selected.target, selected.member, selected.reasons) == ("raspberry-pi-5", "model/int8.tflite", ())


def test_target_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^target: expected one of .*; did you mean 'raspberry-pi-5'\?$"):
        Screener.open(tiny.bundle(tiny.model()), target="raspbery-pi-5")


def test_target_that_no_member_admits_is_refused() -> None:
    with pytest.raises(TargetMismatchError, match=r"^tiny 1\.2\.3: expected a target among "):
        Screener.open(tiny.bundle(tiny.model()), target="coral-usb")


def test_path_is_verified_with_the_keys_given(tmp_path: Path) -> None:
    path = tmp_path / "tiny.edgemed"
    path.write_bytes(tiny.raw_bundle(tiny.model()))

    screener = Screener.open(path, keys=[KEY.public])

    assert screener.bundle.manifest.name == "tiny"
    with pytest.raises(SignatureError):
        Screener.open(path, keys=[STRANGER.public])
    with pytest.raises(SignatureError):
        Screener.open(str(path), keys=[])


def test_path_is_verified_with_the_users_keys_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgemed.bundle import trust

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / "tiny.edgemed"
    path.write_bytes(tiny.raw_bundle(tiny.model()))

    with pytest.raises(SignatureError):
        Screener.open(path)
    trust.add_user_key(KEY.public)

    assert Screener.open(path).bundle.accepted == (KEY.public,)


def test_name_that_does_not_ship_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^bundle: expected a file, or a name that ships with edgemed"):
        Screener.open("chest-xrya")


def test_missing_file_is_refused_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.edgemed"

    with pytest.raises(BundleError) as caught:
        Screener.open(str(path), keys=[KEY.public])

    assert str(caught.value) == (
        f"{path}: cannot be read: No such file or directory; check the path and its permissions"
    )
