from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import schema
from edgemed.bundle import archive, manifest
from edgemed.bundle.manifest import ArtifactDocument, Manifest
from edgemed.errors import BundleError, ConfigError
from tests.bundle import tiny

RAW = archive.read(tiny.build()).manifest
FIELDS: dict[str, Any] = msgspec.json.decode(RAW)
DIGEST = "sha256:" + "0" * 64

REFUSED = {
    "unknown key": ({"modality": "DX"}, "manifest.json: modality: unknown key; did you mean 'modalities'?"),
    "another schema": ({"schema": 2}, "manifest.json: schema: invalid enum value 2, value 2"),
    "another task": ({"task": "detect"}, "manifest.json: task: invalid enum value 'detect', value 'detect'"),
    "release of zero": ({"release": 0}, "manifest.json: release: expected `int` >= 1, value 0"),
    "release as text": ({"release": "1"}, "manifest.json: release: expected `int`, got `str`, value '1'"),
    "no label": ({"labels": []}, "manifest.json: labels: expected `array` of length >= 1"),
    "negative size": (
        {"members": {"a": {"sha256": DIGEST, "size_bytes": -1}}},
        "manifest.json: members[...].size_bytes: expected `int` >= 0",
    ),
}


def test_manifest_comes_back() -> None:
    assert schema.encode_json(manifest.parse(RAW)) == RAW


def test_artifact_comes_back() -> None:
    raw = schema.encode_json(tiny.ARTIFACT)

    assert manifest.parse_artifact(raw, source="artifact.json") == tiny.ARTIFACT


def test_artifact_states_what_the_manifest_states() -> None:
    shared = set(ArtifactDocument.__struct_fields__)

    assert set(Manifest.__struct_fields__) == shared | {"version", "release", "minimum_runtime", "members"}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_manifest_is_refused_with_a_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError) as caught:
        manifest.parse(msgspec.json.encode({**FIELDS, **change}))

    assert str(caught.value) == message


@pytest.mark.parametrize("version", ["1.0", "01.0.0", "1.0.0-rc1", "1.0.0\n", "v1.0.0", ""])
def test_version_has_three_numbers(version: str) -> None:
    with pytest.raises(BundleError, match=r"^manifest\.json: version: expected `str` matching regex"):
        manifest.parse(msgspec.json.encode({**FIELDS, "version": version}))


@pytest.mark.parametrize("name", ["../a", "/a", "a//b", "a/../b", "A", "a\\b", ".a", "a/b/c/d/e", "", "a\n"])
def test_member_name_stays_inside(name: str) -> None:
    members = {name: {"sha256": DIGEST, "size_bytes": 0}}

    with pytest.raises(BundleError, match=r"^manifest\.json: members"):
        manifest.parse(msgspec.json.encode({**FIELDS, "members": members}))


def test_artifact_with_an_unknown_key_suggests_the_near_one() -> None:
    raw = msgspec.json.encode({**msgspec.to_builtins(tiny.ARTIFACT), "label": ["abnormal"]})

    with pytest.raises(ConfigError) as caught:
        manifest.parse_artifact(raw, source="runs/artifact.json")

    assert str(caught.value) == "runs/artifact.json: label: unknown key; did you mean 'labels'?"


@given(st.binary(max_size=100), st.integers(0, len(RAW)))
def test_any_bytes_give_a_manifest_or_a_bundle_error(junk: bytes, cut: int) -> None:
    for raw in (junk, RAW[:cut] + junk, RAW[:cut] + junk + RAW[cut:]):
        try:
            assert isinstance(manifest.parse(raw), Manifest)
        except BundleError:
            continue
