from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import files
from edgemed.bundle import archive, sbom
from edgemed.bundle.sbom import Software
from edgemed.errors import ConfigError
from tests.bundle import test_archive, tiny

RUNTIME = Software(version="1.2.3", requires=("PyYAML>=6.0", "numpy>=1.26; python_version < '4'", "typer<0.29,>=0.26"))
TRAINING = {
    "licence": "CC BY 4.0",
    "citation": "Somebody et al.",
    "limits": "Children only.",
    "recipe": "tiny",
    "train_images": 10,
    "validation_images": 5,
    "train_digest": "sha256:" + "1" * 64,
    "pretrained_sha256": "sha256:" + "2" * 64,
    "pretrained_licence": "Apache-2.0",
    "seed": 17,
}
MEMBERS = {
    **tiny.MEMBERS,
    "evidence/training.json": json.dumps(TRAINING).encode(),
    "evidence/test.json": test_archive.evaluation(),
}


def rendered(members: dict[str, bytes] = MEMBERS) -> bytes:
    return sbom.render(tiny.ARTIFACT, members, version="1.0.0", release=3, runtime=RUNTIME)


def document(members: dict[str, bytes] = MEMBERS) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(rendered(members))
    return found


def part(reference: str, members: dict[str, bytes] = MEMBERS) -> dict[str, Any]:
    return next(one for one in document(members)["components"] if one["bom-ref"] == reference)


def stated(component: dict[str, Any]) -> dict[str, str]:
    return {one["name"].removeprefix("edgemed:"): one["value"] for one in component["properties"]}


@pytest.mark.parametrize("members", [MEMBERS, tiny.MEMBERS], ids=["everything", "nothing stated"])
def test_official_schema_accepts_it(members: dict[str, bytes]) -> None:
    pytest.importorskip("cyclonedx", reason="the official schema is in the dev extra")
    pytest.importorskip("jsonschema", reason="the official schema is in the dev extra")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(rendered(members).decode()) is None
    assert validator.validate_str(rendered(members).decode().replace('"SHA-256"', '"SHA-257"')) is not None


def test_every_member_is_listed_with_its_digest() -> None:
    listed = document()["metadata"]["component"]["components"]

    assert {one["name"]: one["hashes"][0]["content"] for one in listed} == {
        name: files.sha256(raw).removeprefix("sha256:") for name, raw in MEMBERS.items()
    }
    assert [one["type"] for one in listed if one["name"] == "model/int8.tflite"] == ["machine-learning-model"]


def test_bundle_is_the_subject_with_its_model_card() -> None:
    subject = document()["metadata"]["component"]

    assert (subject["type"], subject["name"], subject["version"]) == ("machine-learning-model", "tiny", "1.0.0")
    assert stated(subject) == {"licence": "not stated", "release": "3", "targets": "generic-x86-64, raspberry-pi-4"}
    card = subject["modelCard"]
    assert card["considerations"] == {"useCases": ["tests"], "technicalLimitations": ["Children only."]}
    assert card["quantitativeAnalysis"]["performanceMetrics"][0] == {
        "type": "AUC",
        "value": "0.9000",
        "slice": "test, 40 images, 10 abnormal",
        "confidenceInterval": {"lowerBound": "0.8000", "upperBound": "0.9500"},
    }


def test_data_carries_its_licence_and_digest() -> None:
    data = part("data:training")

    assert data["licenses"] == [{"license": {"id": "CC-BY-4.0"}}]
    assert data["description"] == "Somebody et al."
    assert stated(data)["train_digest"] == TRAINING["train_digest"]
    assert stated(data)["validation_digest"] == "not stated"


def test_licence_without_an_identifier_keeps_its_words() -> None:
    training = json.dumps({**TRAINING, "licence": "for research only"}).encode()

    data = part("data:training", {**MEMBERS, "evidence/training.json": training})

    assert data["licenses"] == [{"license": {"name": "for research only"}}]


def test_pretrained_weights_carry_their_licence_and_digest() -> None:
    weights = part("weights:pretrained")

    assert weights["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert weights["hashes"] == [{"alg": "SHA-256", "content": "2" * 64}]


def test_what_nobody_stated_is_not_guessed() -> None:
    data = part("data:training", tiny.MEMBERS)

    assert data["licenses"] == []
    assert set(stated(data).values()) == {"not stated"}


def test_runtime_is_listed_with_ranges_as_properties() -> None:
    assert part("edgemed")["version"] == "1.2.3"
    assert stated(part("pypi:pyyaml")) == {"requires": ">=6.0"}
    assert stated(part("pypi:numpy")) == {"requires": ">=1.26", "where": "python_version < '4'"}
    assert "version" not in part("pypi:numpy")
    assert document()["dependencies"][1] == {
        "ref": "edgemed",
        "dependsOn": ["pypi:pyyaml", "pypi:numpy", "pypi:typer"],
    }


def test_installed_edgemed_names_its_core_dependencies_alone() -> None:
    listed = sbom.software()

    names = {requirement.split(">")[0].split("<")[0].split(";")[0].strip().lower() for requirement in listed.requires}
    assert {"numpy", "cryptography", "msgspec"} <= names
    assert not names & {"keras", "asyncssh", "onnx"}


@given(st.permutations(sorted(MEMBERS)))
def test_bytes_do_not_depend_on_the_order_of_members(order: list[str]) -> None:
    assert rendered({name: MEMBERS[name] for name in order}) == rendered()


def test_serial_number_follows_the_contents() -> None:
    other = document({**MEMBERS, "card.md": b""})

    assert document()["serialNumber"] == document()["serialNumber"]
    assert other["serialNumber"] != document()["serialNumber"]


def test_malformed_training_document_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        rendered({**MEMBERS, "evidence/training.json": b'{"licence": 4}'})

    assert str(caught.value) == "evidence/training.json: licence: expected `str | null`, got `int`, value 4"


def test_build_carries_it(tmp_path: Path) -> None:
    folder = tiny.write_folder(tmp_path)

    raw = archive.build_from_folders([folder], version="1.0.0", release=3, private_keys=[tiny.KEY])

    members = archive.read(raw).members
    assert members["sbom.cdx.json"] == sbom.render(tiny.ARTIFACT, tiny.MEMBERS, version="1.0.0", release=3)


def test_one_that_lies_in_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tiny.write_folder(tmp_path, extra={"sbom.cdx.json": b"{}"})

    with pytest.raises(ConfigError) as caught:
        archive.build_from_folders([folder], version="1.0.0", release=1, private_keys=[tiny.KEY])

    assert str(caught.value) == (
        f"{folder}/sbom.cdx.json: is no part of a bundle; remove it, or give results with --evidence"
    )
