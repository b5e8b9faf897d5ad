from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from converters import artifact
from converters.artifact import Artifact
from edgemed.bundle.manifest import ArtifactDocument, parse_artifact
from edgemed.errors import ConfigError
from tests.runtime import tiny

DESCRIPTION = ArtifactDocument(
    name="tiny",
    task="classify",
    intended_use="tests",
    modalities=("US",),
    body_part="PHANTOM",
    labels=("plain", "blob"),
    targets=("generic-x86-64",),
    outputs=("logit",),
)


def _artifact(members: Mapping[str, bytes]) -> Artifact:
    return Artifact(
        description=DESCRIPTION,
        members=members,
        reports={"conversion.json": b"{}", "conversion.html": b"<!doctype html>"},
        report=None,  # type: ignore[arg-type]  # nothing here asks for it
        flips=(),
        rule=tiny.rule(b"m"),
    )


def test_members_lie_as_in_the_bundle_and_the_description_reads_back(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "artifact"
    artifact.write(folder, _artifact({"model/int8.tflite": b"m", "card.md": b"c"}))
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "artifact.json",
        "card.md",
        "conversion.html",
        "conversion.json",
        "model/int8.tflite",
    ]
    assert parse_artifact((folder / "artifact.json").read_bytes(), source="artifact.json") == DESCRIPTION


def test_older_artifact_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    artifact.write(folder, _artifact({"old.json": b"{}"}))
    artifact.write(folder, _artifact({"new.json": b"{}"}))
    assert sorted(path.name for path in folder.iterdir()) == [
        "artifact.json",
        "conversion.html",
        "conversion.json",
        "new.json",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError) as caught:
        artifact.write(tmp_path, _artifact({}))
    assert str(caught.value) == (
        f"{tmp_path}: expected a new folder or an older artifact, found something else; choose another --out"
    )
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_failure_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    with pytest.raises(ConfigError, match="cannot be written"):
        artifact.write(folder, _artifact({"a/b": b"", "a/b/c": b"a file stands where a folder must"}))
    assert list(tmp_path.iterdir()) == []


def test_full_disk_in_the_middle_leaves_the_older_artifact_whole(tmp_path: Path) -> None:
    """The limit on a file's size stands for a disk that takes the first members and not the next."""
    import resource

    folder = tmp_path / "artifact"
    artifact.write(folder, _artifact({"card.md": b"old"}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(ConfigError) as caught:
            artifact.write(folder, _artifact({"card.md": b"new", "model/int8.tflite": b"m" * 20_000}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == (
        f"{folder}: cannot be written: File too large; free some space or choose another --out"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]
    assert (folder / "card.md").read_bytes() == b"old"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_folder_without_permission_is_refused_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ConfigError) as caught:
            artifact.require_writable(tmp_path / "artifact")
    finally:
        tmp_path.chmod(0o700)
    assert str(caught.value) == (f"{tmp_path / 'artifact'}: cannot be written: Permission denied; choose another --out")


def test_read_only_place_is_refused_before_the_work() -> None:
    folder = Path("/proc/artifact")
    with pytest.raises(ConfigError) as caught:
        artifact.require_writable(folder)
    assert str(caught.value) == f"{folder}: cannot be written: No such file or directory; choose another --out"


def test_asking_makes_nothing(tmp_path: Path) -> None:
    artifact.require_writable(tmp_path / "new" / "artifact")
    assert list(tmp_path.iterdir()) == []


def _link(tmp_path: Path) -> Path:
    artifact.write(tmp_path / "real", _artifact({}))
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    return tmp_path / "link"


def _below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file" / "artifact"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        pytest.param(
            _link, "expected a plain folder, found a link or a mount point; choose another --out", id="link to an older"
        ),
        pytest.param(
            lambda folder: folder / "..", "expected a folder with a name of its own; choose another --out", id="no name"
        ),
        pytest.param(_below_a_file, "cannot be written: Not a directory; choose another --out", id="below a file"),
        pytest.param(
            lambda folder: folder / ("a" * 300),
            "cannot be written: File name too long; choose another --out",
            id="name too long",
        ),
    ],
)
def test_what_write_would_refuse_is_refused_before_the_work(
    tmp_path: Path, made: Callable[[Path], Path], message: str
) -> None:
    folder = made(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError) as caught:
        artifact.require_writable(folder)
    assert str(caught.value) == f"{folder}: {message}"
    assert sorted(tmp_path.rglob("*")) == before


def test_empty_path_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^\.: expected a folder with a name of its own"):
        artifact.require_writable(Path())


def test_error_without_a_system_text_is_not_called_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        raise FileNotFoundError("No usable temporary file name found")

    monkeypatch.setattr(artifact.tempfile, "TemporaryFile", refuse)
    with pytest.raises(ConfigError) as caught:
        artifact.require_writable(tmp_path / "artifact")
    assert str(caught.value) == (
        f"{tmp_path / 'artifact'}: cannot be written: No usable temporary file name found; choose another --out"
    )
