"""Several folders become one bundle only where they are of one model; the message names what differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edgemed import files, schema
from edgemed.bundle import archive, artifacts, manifest
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.errors import ConfigError
from tests.bundle import tiny

CPU = tiny.described("generic-x86-64", "raspberry-pi-4")
CORAL = tiny.described("generic-x86-64", "coral-usb")
EDGETPU = {"model/edgetpu.tflite": b"compiled"}


def folder(
    tmp_path: Path, name: str, *, artifact: ArtifactDocument = CPU, extra: Mapping[str, bytes] | None = None
) -> Path:
    return tiny.write_folder(tmp_path / name, artifact=artifact, extra=extra)


def test_folders_of_one_model_are_the_union_of_their_members_and_targets(tmp_path: Path) -> None:
    folders = [
        folder(tmp_path, "cpu", extra={"card.md": b"# tiny"}),
        folder(tmp_path, "coral", artifact=CORAL, extra=EDGETPU),
    ]

    whole = artifacts.read(folders)

    assert whole.members == {**tiny.MEMBERS, **EDGETPU, "card.md": b"# tiny"}
    assert whole.document == tiny.described("coral-usb", "generic-x86-64", "raspberry-pi-4")


def test_order_of_the_folders_does_not_matter(tmp_path: Path) -> None:
    folders = [folder(tmp_path, "cpu"), folder(tmp_path, "coral", artifact=CORAL, extra=EDGETPU)]

    one, two = artifacts.read(folders), artifacts.read(folders[::-1])

    assert (one.document, one.members) == (two.document, two.members)


def test_three_folders_make_one_bundle_that_admits_all_their_targets(tmp_path: Path) -> None:
    folders = [
        folder(tmp_path, "cpu"),
        folder(tmp_path, "coral", artifact=CORAL, extra=EDGETPU),
        folder(tmp_path, "orin", artifact=tiny.described("jetson-orin-nano"), extra={"model/qdq.onnx": b"onnx"}),
    ]

    raw = archive.build_from_folders(folders, version="1.0.0", release=1, private_keys=[tiny.KEY])

    stated = manifest.parse(archive.read(raw).manifest)
    assert stated.targets == ("coral-usb", "generic-x86-64", "jetson-orin-nano", "raspberry-pi-4")
    assert {name for name in stated.members if name.startswith("model/")} == {
        "model/int8.tflite",
        "model/edgetpu.tflite",
        "model/qdq.onnx",
    }


def test_targets_of_a_single_folder_stay_in_their_order(tmp_path: Path) -> None:
    targets = ("raspberry-pi-4", "generic-x86-64")

    assert artifacts.read([folder(tmp_path, "one", artifact=tiny.described(*targets))]).document.targets == targets


ANOTHER = b"another model"
DIFFERING = {
    "int8 model": (
        {"model/int8.tflite": ANOTHER, "decision.json": schema.encode_json({"model": files.sha256(ANOTHER)})},
        "{two}/model/int8.tflite: expected the same bytes as {one}/model/int8.tflite; a conversion for TensorRT has "
        "symmetric ranges and is another int8 model: convert once with every --target",
    ),
    "thresholds": (
        {"decision.json": schema.encode_json({"model": files.sha256(tiny.MODEL), "version": 2})},
        "{two}/decision.json: expected the same bytes as {one}/decision.json; convert once with every --target, or "
        "give folders of one conversion",
    ),
    "golden vector": (
        {"golden/00.png": b"another picture"},
        "{two}/golden/00.png: expected the same bytes as {one}/golden/00.png; convert once with every --target, or "
        "give folders of one conversion",
    ),
}


@pytest.mark.parametrize(("extra", "message"), DIFFERING.values(), ids=DIFFERING)
def test_member_that_differs_is_named(tmp_path: Path, extra: dict[str, bytes], message: str) -> None:
    one = folder(tmp_path, "one", extra={"golden/00.png": b"picture"})
    two = folder(tmp_path, "two", artifact=CORAL, extra={**EDGETPU, **extra})

    with pytest.raises(ConfigError) as caught:
        artifacts.read([one, two])

    assert str(caught.value) == message.format(one=one, two=two)


def test_description_that_differs_is_named(tmp_path: Path) -> None:
    one = folder(tmp_path, "one")
    two = folder(tmp_path, "two", artifact=tiny.described("raspberry-pi-5", body_part="ABDOMEN", modalities=("US",)))

    with pytest.raises(ConfigError) as caught:
        artifacts.read([one, two])

    assert str(caught.value) == (
        f"{two}/artifact.json: modalities, body_part: expected the same as in {one}/artifact.json; "
        "give folders of one conversion"
    )
