from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed import files, schema, targets
from edgemed.bundle import archive, manifest, models, stored_zip
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.errors import BundleError, ConfigError
from tests.bundle import tiny

EVERYWHERE = tiny.described(*targets.available())


def build(members: dict[str, bytes], artifact: ArtifactDocument = tiny.ARTIFACT, *, version: str = "1.0.0") -> bytes:
    return archive.build(artifact, members, version=version, release=1, private_keys=[tiny.KEY])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.write_folder(tmp_path / "artifact")


def build_folder(folder: Path, evidence: tuple[Path, ...] = ()) -> bytes:
    return archive.build_from_folders([folder], version="1.0.0", release=1, private_keys=[tiny.KEY], evidence=evidence)


def test_two_builds_are_the_same_bytes() -> None:
    assert build(tiny.MEMBERS) == build(dict(reversed(tiny.MEMBERS.items())))


def test_bytes_of_a_build_stay_what_they_are() -> None:
    # A change here changes the digest of every bundle: raise the manifest's schema instead.
    assert (
        hashlib.sha256(tiny.build()).hexdigest() == "e052f988c0fdd6d268e38f175d25eea14a5de5a0d0536dccf964fd3a7a9b36a0"
    )


@settings(max_examples=30)
@given(st.dictionaries(st.from_regex(r"golden/[a-z0-9]{1,4}\.png", fullmatch=True), st.binary(max_size=30)))
def test_manifest_states_digest_and_size_of_every_member(extra: dict[str, bytes]) -> None:
    taken = archive.read(build({**tiny.MEMBERS, **extra}))

    stated = json.loads(taken.manifest)["members"]
    assert stated == {
        name: {"sha256": "sha256:" + hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
        for name, data in taken.members.items()
    }
    assert taken.members == {**tiny.MEMBERS, **extra}


def test_every_key_signs() -> None:
    taken = archive.read(tiny.build(private_keys=[tiny.KEY, tiny.OTHER]))

    names = [f"signatures/{key.public.keyid[:16]}.dsse" for key in (tiny.KEY, tiny.OTHER)]
    assert list(taken.envelopes) == sorted(names)


def test_taken_apart_archive_cannot_be_changed() -> None:
    taken = archive.read(tiny.build())

    with pytest.raises(TypeError):
        taken.members["card.md"] = b""  # type: ignore[index]


def test_archive_without_manifest_is_refused() -> None:
    with pytest.raises(BundleError) as caught:
        archive.read(stored_zip.write(tiny.MEMBERS))

    assert str(caught.value) == "archive: has no manifest.json; is it an .edgemed file?"


def test_build_without_a_key_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match=r"^private_keys: expected at least one, got none$"):
        tiny.build(private_keys=[])


def test_build_with_a_key_twice_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match=r"^private_keys: a key repeats$"):
        tiny.build(private_keys=[tiny.KEY, tiny.KEY])


def changed(**members: bytes | None) -> dict[str, bytes]:
    """Return the tiny members with some replaced, or removed by None; ``__`` stands for ``/`` and ``_`` for a dot."""
    merged = {**tiny.MEMBERS, **{name.replace("__", "/").replace("_", "."): data for name, data in members.items()}}
    return {name: data for name, data in merged.items() if data is not None}


MODEL_DIGEST = files.sha256(tiny.MODEL)
MEMBERS_REFUSED = {
    "two members missing": (
        changed(decision_json=None, preprocessing_json=None),
        "bundle: decision.json, preprocessing.json: required and missing; make the folder with 'edgemed convert'",
    ),
    "manifest given": (
        changed(manifest_json=b"{}"),
        "bundle: manifest.json: written by the build itself; remove it from the members",
    ),
    "signature given": (
        changed(signatures__a_dsse=b"{}"),
        "bundle: signatures/a.dsse: written by the build itself; remove it from the members",
    ),
    "decision for another model": (
        changed(decision_json=b'{"model":"sha256:other"}'),
        f"decision.json: model: expected {MODEL_DIGEST}, the digest of model/int8.tflite, got 'sha256:other'; "
        "convert again",
    ),
    "decision for no model": (
        changed(decision_json=b"{}"),
        f"decision.json: model: expected {MODEL_DIGEST}, the digest of model/int8.tflite, got None; convert again",
    ),
    "decision that is a list": (changed(decision_json=b"[]"), "decision.json: expected `object`, got `array`"),
    "decision that is no JSON": (
        changed(decision_json=b"{"),
        "decision.json: expected JSON, got bytes that are not: Input data was truncated",
    ),
}


@pytest.mark.parametrize(("members", "message"), MEMBERS_REFUSED.values(), ids=MEMBERS_REFUSED)
def test_members_are_refused_with_a_reason(members: dict[str, bytes], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(members)

    assert str(caught.value) == message


def test_version_is_refused_while_it_can_be_mended() -> None:
    with pytest.raises(ConfigError, match=r"^bundle: version: expected `str` matching regex .*, value '1\.0'$"):
        build(tiny.MEMBERS, version="1.0")


def test_folder_gives_the_bytes_its_members_give(folder: Path) -> None:
    assert build_folder(folder) == tiny.build(members=tiny.with_bill())


def test_folder_gives_the_same_bytes_whatever_its_dates_and_modes(folder: Path) -> None:
    os.utime(folder / "decision.json", (1, 1))
    (folder / "decision.json").chmod(0o600)

    assert build_folder(folder) == tiny.build(members=tiny.with_bill())


def test_every_kind_of_member_enters(folder: Path) -> None:
    names = ["card.md", "golden/01.plane.png", "golden/vectors.json", "evidence/parity.json", *models.MODELS]
    names.remove(models.INT8)
    tiny.write_folder(folder, artifact=EVERYWHERE, extra={name: name.encode() for name in names})

    members = archive.read(build_folder(folder)).members

    assert members == tiny.with_bill({**tiny.MEMBERS, **{name: name.encode() for name in names}}, artifact=EVERYWHERE)


def test_evidence_enters_under_its_name(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_bytes(b'{"p50": 3}')

    members = archive.read(build_folder(folder, (tmp_path / "bench.json",))).members

    assert members["evidence/bench.json"] == b'{"p50": 3}'


def test_model_bound_by_the_manifest_is_the_one_of_the_folder(folder: Path) -> None:
    stated = manifest.parse(archive.read(build_folder(folder)).manifest)

    assert stated.members["model/int8.tflite"].sha256 == MODEL_DIGEST


UNADMITTED = {
    "target without its model": (
        ("generic-x86-64", "coral-usb"),
        {},
        "artifact.json: targets: coral-usb needs model/edgetpu.tflite, which is missing; convert with --target "
        "coral-usb, or leave the target out",
    ),
    "target with the model of another precision": (
        ("jetson-nano",),
        {"model/qdq.onnx": b"onnx"},
        "artifact.json: targets: jetson-nano needs model/float16.onnx, which is missing; convert with --target "
        "jetson-nano, or leave the target out",
    ),
    "model without a target": (
        ("generic-x86-64", "raspberry-pi-4"),
        {"model/qdq.onnx": b"onnx"},
        "artifact.json: targets: expected one that runs model/qdq.onnx, such as jetson-orin-nano, got generic-x86-64, "
        "raspberry-pi-4; name it, or remove the model",
    ),
    "target that does not exist": (
        ("coral-usbb",),
        {},
        f"target: expected one of {', '.join(targets.available())}, got 'coral-usbb'; did you mean 'coral-usb'?",
    ),
    "model that no device looks for": (
        ("generic-x86-64",),
        {"model/float32.tflite": b"float"},
        "bundle: model/float32.tflite: expected a model among model/int8.tflite, model/edgetpu.tflite, "
        "model/qdq.onnx, model/float16.onnx; remove it, or convert with --mode qat or ptq",
    ),
}


@pytest.mark.parametrize(("ids", "extra", "message"), UNADMITTED.values(), ids=UNADMITTED)
def test_targets_and_models_that_do_not_fit_are_refused(
    ids: tuple[str, ...], extra: dict[str, bytes], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build({**tiny.MEMBERS, **extra}, tiny.described(*ids))

    assert str(caught.value) == message


def test_model_larger_than_its_limit_is_refused_before_anything_else_is_done_with_it() -> None:
    limit = models.MODELS["model/qdq.onnx"].limit_bytes
    members = {**tiny.MEMBERS, "model/qdq.onnx": bytes(limit + 1)}
    expected = f"model/qdq.onnx: {limit + 1} bytes are more than the {limit} accepted"

    with pytest.raises(BundleError) as built:
        build(members, tiny.described("jetson-orin-nano"))
    with pytest.raises(BundleError) as opened:
        archive.read(stored_zip.write({**members, "manifest.json": b"{}"}))

    assert (str(built.value), str(opened.value)) == (expected, expected)


@pytest.mark.parametrize("name", ["report.html", "golden/a.txt", "model/deep/a.tflite", ".hidden", "golden/.a.json"])
def test_file_that_is_no_member_is_refused(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"")

    with pytest.raises(ConfigError) as caught:
        build_folder(folder)

    assert str(caught.value) == f"{folder / name}: is no part of a bundle; remove it, or give results with --evidence"


def test_link_to_a_file_elsewhere_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "card.md").symlink_to(tmp_path / "secret")

    with pytest.raises(ConfigError) as caught:
        build_folder(folder)

    assert str(caught.value) == (
        f"{folder}/card.md: is no part of a bundle; remove it, or give results with --evidence"
    )


def test_missing_artifact_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build_folder(tmp_path)

    assert str(caught.value) == (
        f"{tmp_path}/artifact.json: cannot be read: No such file or directory; check the path and its permissions"
    )


def test_artifact_with_a_wrong_type_is_refused(folder: Path) -> None:
    fields = {**json.loads(schema.encode_json(tiny.ARTIFACT)), "labels": "abnormal"}
    (folder / "artifact.json").write_bytes(json.dumps(fields).encode())

    with pytest.raises(ConfigError) as caught:
        build_folder(folder)

    assert str(caught.value) == (f"{folder}/artifact.json: labels: expected `array`, got `str`, value 'abnormal'")


EVIDENCE_REFUSED = {
    "not JSON": ("bench.json", b"{", "expected JSON, got bytes that are not: Input data was truncated"),
    "another suffix": ("bench.csv", b"{}", "evidence is a .json file; give it as JSON"),
    "name taken": ("parity.json", b"{}", "the bundle has evidence/parity.json already; rename one of the two"),
}


@pytest.mark.parametrize(("name", "raw", "message"), EVIDENCE_REFUSED.values(), ids=EVIDENCE_REFUSED)
def test_evidence_is_refused_with_a_reason(folder: Path, tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    (folder / "evidence").mkdir()
    (folder / "evidence" / "parity.json").write_bytes(b"{}")
    (tmp_path / name).write_bytes(raw)

    with pytest.raises(ConfigError) as caught:
        build_folder(folder, (tmp_path / name,))

    assert str(caught.value) == f"{tmp_path / name}: {message}"


def evaluation(**stated: object) -> bytes:
    """Return an evaluation of the tiny model at version 2 of its thresholds, but for what is stated."""
    figure = {"value": 0.9, "ci95": [0.8, 0.95], "ci95_by_patient": None}
    point = {"name": "rule-out", "threshold": 0.4, "accuracy": figure, "sensitivity": figure, "specificity": figure}
    document = {
        "model": MODEL_DIGEST,
        "decision_version": 2,
        "backend": "litert",
        "split": "test",
        "n": 40,
        "n_abnormal": 10,
        "auc": figure,
        "operating_points": [point],
        "decisions": {"alert": 12, "clear": 28},
        "interval": "95 %; Wilson",
        "unit": "image",
        **stated,
    }
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


@pytest.fixture
def decided(folder: Path) -> Path:
    """Return the artifact folder with a card and thresholds of version 2."""
    (folder / "card.md").write_text("# tiny\n")
    (folder / "decision.json").write_text(json.dumps({"model": MODEL_DIGEST, "version": 2}))
    return folder


def test_evaluation_of_this_model_enters_evidence_and_card(decided: Path, tmp_path: Path) -> None:
    (tmp_path / "test.json").write_bytes(evaluation())

    members = archive.read(build_folder(decided, (tmp_path / "test.json",))).members

    assert members["evidence/test.json"] == evaluation()
    assert b"- AUC 0.9000 [0.8000, 0.9500]\n" in members["card.md"]


OTHER_DIGEST = "sha256:" + 64 * "0"
EVALUATIONS_REFUSED = {
    "another model": (
        {"model": OTHER_DIGEST},
        f"model: expected {MODEL_DIGEST}, as in decision.json, got {OTHER_DIGEST}",
    ),
    "a model it does not name": ({"model": None}, f"model: expected {MODEL_DIGEST}, as in decision.json, got None"),
    "other thresholds": ({"decision_version": 1}, "decision_version: expected 2, as in decision.json, got 1"),
}


@pytest.mark.parametrize("given_as", ["--evidence", "part of the folder"])
@pytest.mark.parametrize(("stated", "message"), EVALUATIONS_REFUSED.values(), ids=EVALUATIONS_REFUSED)
def test_evaluation_of_something_else_is_refused(
    decided: Path, tmp_path: Path, stated: dict[str, object], message: str, given_as: str
) -> None:
    place = tmp_path if given_as == "--evidence" else decided / "evidence"
    place.mkdir(exist_ok=True)
    (place / "test.json").write_bytes(evaluation(**stated))

    with pytest.raises(ConfigError) as caught:
        build_folder(decided, (place / "test.json",) if given_as == "--evidence" else ())

    assert str(caught.value) == f"evidence/test.json: {message}; evaluate this model, or leave the file out"
