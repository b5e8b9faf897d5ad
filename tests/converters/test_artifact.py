from __future__ import annotations

from pathlib import Path

import pytest

from converters import artifact
from edgemed.bundle.manifest import Artifact, parse_artifact
from edgemed.errors import ConfigError

DESCRIPTION = Artifact(
    name="tiny",
    task="classify",
    intended_use="tests",
    modalities=("US",),
    body_part="PHANTOM",
    labels=("plain", "blob"),
    targets=("generic-x86-64",),
    outputs=("logit",),
)


def test_members_lie_as_in_the_bundle_and_the_description_reads_back(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "artifact"
    artifact.write(folder, DESCRIPTION, {"model/int8.tflite": b"m", "card.md": b"c"})
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "artifact.json",
        "card.md",
        "model/int8.tflite",
    ]
    assert parse_artifact((folder / "artifact.json").read_bytes(), source="artifact.json") == DESCRIPTION


def test_older_artifact_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    artifact.write(folder, DESCRIPTION, {"old.json": b"{}"})
    artifact.write(folder, DESCRIPTION, {"new.json": b"{}"})
    assert sorted(path.name for path in folder.iterdir()) == ["artifact.json", "new.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError) as caught:
        artifact.write(tmp_path, DESCRIPTION, {})
    assert str(caught.value) == (
        f"{tmp_path}: expected a new folder or an older artifact, found something else; choose another --out"
    )
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_failure_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    with pytest.raises(ConfigError, match="cannot be written"):
        artifact.write(folder, DESCRIPTION, {"a/b": b"", "a/b/c": b"a file stands where a folder must"})
    assert list(tmp_path.iterdir()) == []
