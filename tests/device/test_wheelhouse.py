"""edgemed.device.wheelhouse: wheels for another machine, complete by its markers, from an index that is a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemed.device import wheelhouse
from edgemed.errors import ConfigError
from tests.device import wheels


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that pip takes for its only index."""
    pytest.importorskip("packaging")
    pytest.importorskip("pip")
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def collected(index: Path, *, wheel: Path) -> wheelhouse.House:
    return wheelhouse.collect(index.parent / "house", architecture="aarch64", python="3.10", wheel=wheel)


def test_wheels_are_the_devices_and_what_only_its_python_needs_is_among_them(index: Path) -> None:
    wheels.write(index, "native", tag="cp310-cp310-manylinux_2_17_aarch64")
    wheels.write(index, "native", tag="cp310-cp310-manylinux_2_17_x86_64")
    wheels.write(index, "backport")
    wheels.write(index, "windows")
    needs = ("native>=1", "backport; python_version < '3.11'", "windows; sys_platform == 'win32'", "more; extra == 'x'")
    own = wheels.write(index.parent, "edgemed", version="0.2.0", needs=needs)
    house = collected(index, wheel=own)
    assert (house.architecture, house.python, house.runtime) == ("aarch64", "3.10", "0.2.0")
    assert [one.file for one in house.wheels] == [
        "backport-1.0-py3-none-any.whl",
        "edgemed-0.2.0-py3-none-any.whl",
        "native-1.0-cp310-cp310-manylinux_2_17_aarch64.whl",
    ]
    assert wheelhouse.read(index.parent / "house") == house


def test_wheels_of_an_extra_are_collected_where_it_is_asked_for(index: Path) -> None:
    wheels.write(index, "native")
    wheels.write(index, "locks")
    needs = ("native", "locks; extra == 'encryption'")
    own = wheels.write(index.parent, "edgemed", needs=needs, extras=("encryption", "ssh"))
    house = wheelhouse.collect(
        index.parent / "house", architecture="aarch64", python="3.10", wheel=own, extras=("encryption",)
    )
    assert house.extras == ("encryption",)
    assert [one.file.split("-")[0] for one in house.wheels] == ["edgemed", "locks", "native"]


def test_extra_that_edgemed_does_not_have_is_named(index: Path) -> None:
    own = wheels.write(index.parent, "edgemed", extras=("encryption", "ssh"))
    with pytest.raises(ConfigError) as caught:
        wheelhouse.collect(
            index.parent / "house", architecture="aarch64", python="3.10", wheel=own, extras=("encription",)
        )
    assert str(caught.value) == (
        "--extra: 'encription': edgemed 1.0 has no such extra; did you mean 'encryption'?; it has encryption, ssh"
    )


def test_newer_edgemed_takes_the_place_of_the_older(index: Path) -> None:
    collected(index, wheel=wheels.write(index.parent, "edgemed", version="0.1.0"))
    house = collected(index, wheel=wheels.write(index.parent, "edgemed", version="0.2.0"))
    assert [one.file for one in house.wheels] == ["edgemed-0.2.0-py3-none-any.whl"]


def test_wheel_that_no_index_has_is_named(index: Path) -> None:
    own = wheels.write(index.parent, "edgemed", needs=("nowhere>=3",))
    with pytest.raises(ConfigError, match=r"^pip download: expected every wheel for this .*nowhere>=3"):
        collected(index, wheel=own)
    assert not (index.parent / "house" / "wheelhouse.json").exists()


def test_altered_or_missing_wheel_is_named(tmp_path: Path) -> None:
    wheels.house(tmp_path)
    wheel = next(tmp_path.glob("edgemed-*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(ConfigError) as caught:
        wheelhouse.read(tmp_path)
    assert str(caught.value) == (
        f"--wheelhouse: {wheel}: its bytes are not those that wheelhouse.json names; collect it again"
    )
    wheel.unlink()
    with pytest.raises(ConfigError) as caught:
        wheelhouse.read(tmp_path)
    assert str(caught.value) == (f"--wheelhouse: {wheel}: cannot be read: No such file or directory; collect it again")


def test_own_wheel_must_be_one_of_edgemed(tmp_path: Path) -> None:
    other = wheels.write(tmp_path, "other")
    (tmp_path / "text.whl").write_text("x", "utf-8")
    cases = {
        other: f"--wheel: {other}: expected a wheel of edgemed, got one of other",
        tmp_path / "none.whl": f"--wheel: {tmp_path / 'none.whl'}: no such file; expected a wheel of edgemed",
        tmp_path / "text.whl": (
            f"{tmp_path / 'text.whl'}: expected a wheel, got something else; delete it and collect again"
        ),
    }
    for path, message in cases.items():
        with pytest.raises(ConfigError) as caught:
            wheelhouse.require_version(path)
        assert str(caught.value) == message
