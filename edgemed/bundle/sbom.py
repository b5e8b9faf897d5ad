"""The bill of materials of a bundle: CycloneDX 1.6 JSON with the model, its files, its data and what runs it.

Rules: equal members give equal bytes. There is no clock in it, and the serial number is derived from the contents. What
nobody has stated is said to be not stated, never guessed.

    members["sbom.cdx.json"] = sbom.render(artifact, members, version="1.0.0", release=1)

Written with msgspec alone: cyclonedx-python-lib brings a dozen packages, and its component has no model card. The tests
hold the result against the official schema that it carries.

Source: CycloneDX 1.6, ECMA-424, https://cyclonedx.org/docs/1.6/json/.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edgemed import files, schema
from edgemed.bundle import card, models
from edgemed.bundle.card import Evaluation, Figure
from edgemed.bundle.manifest import ArtifactDocument

__all__ = ["MEMBER", "Software", "render", "software"]

MEMBER = "sbom.cdx.json"
_TRAINING = "evidence/training.json"
_NAMESPACE = uuid.UUID("6f3a1c0e-8a53-5d0b-9c1e-0d9a6b1f7e42")
"""Of the serial numbers; drawn once."""
_LICENCES = (
    *("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-4.0"),
    *("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0", "CC-BY-ND-4.0", "ODbL-1.0", "PDDL-1.0"),
)
"""SPDX identifiers that are recognised; any other licence keeps its makers' words."""
_NOT_STATED = "not stated"
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?P<range>[^;]*)(?P<marker>;.*)?")


class Software(msgspec.Struct, frozen=True, kw_only=True):
    """What a device needs to run a bundle.

    Attributes:
        version: of the edgemed that wrote the bundle.
        requires: its dependencies without extras, as in the project's metadata: ``numpy>=1.26``.
    """

    version: str
    requires: tuple[str, ...]


class _Training(msgspec.Struct, frozen=True, kw_only=True):
    """The part of ``evidence/training.json`` that a bill of materials needs; other keys are left aside."""

    licence: str | None = None
    citation: str | None = None
    limits: str | None = None
    recipe: str | None = None
    train_images: int | None = None
    validation_images: int | None = None
    train_digest: str | None = None
    validation_digest: str | None = None
    pretrained_sha256: str | None = None
    pretrained_licence: str | None = None
    weights_licence: str | None = None


def software() -> Software:
    """Return what the installed edgemed says of itself."""
    from importlib import metadata

    from edgemed import __version__

    listed = metadata.requires("edgemed") or []
    return Software(version=__version__, requires=tuple(sorted(one for one in listed if "extra ==" not in one)))


def render(
    artifact: ArtifactDocument,
    members: Mapping[str, bytes],
    *,
    version: str,
    release: int,
    runtime: Software | None = None,
) -> bytes:
    """Return the bill of materials as canonical JSON; equal arguments give equal bytes.

    Args:
        artifact: what the model is.
        members: of the bundle, but for the bill itself.
        version: of the bundle.
        release: of the bundle.
        runtime: None takes the installed edgemed's.
    """
    training = _training(members)
    runs = _runtime(runtime or software())
    materials = _materials(training)
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _bundle(artifact, members, training, version=version, release=release)},
        "components": [*materials, *runs],
        "dependencies": [
            {"ref": "bundle", "dependsOn": [part["bom-ref"] for part in [*materials, runs[0]]]},
            {"ref": "edgemed", "dependsOn": [part["bom-ref"] for part in runs[1:]]},
        ],
    }
    serial = uuid.uuid5(_NAMESPACE, files.sha256(schema.encode_json(document)))
    return schema.encode_json({**document, "serialNumber": f"urn:uuid:{serial}"})


def _training(members: Mapping[str, bytes]) -> _Training:
    """Return what is known of the training; a bundle whose maker carries no such document states nothing."""
    raw = members.get(_TRAINING)
    return _Training() if raw is None else schema.decode_json(raw, _Training, source=_TRAINING)


def _bundle(
    artifact: ArtifactDocument, members: Mapping[str, bytes], training: _Training, *, version: str, release: int
) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": "bundle",
        "name": artifact.name,
        "version": version,
        "description": artifact.intended_use,
        "licenses": _licences(training.weights_licence),
        "modelCard": _model_card(artifact, members, training),
        "components": [_member(name, raw) for name, raw in sorted(members.items())],
        "properties": _properties(
            {
                "release": str(release),
                "targets": ", ".join(artifact.targets),
                "licence": _stated(training.weights_licence),
            }
        ),
    }


def _member(name: str, raw: bytes) -> dict[str, Any]:
    return {
        "type": "machine-learning-model" if name in models.MODELS else "file",
        "bom-ref": f"member:{name}",
        "name": name,
        "hashes": [_hash(files.sha256(raw))],
        "properties": _properties({"size_bytes": str(len(raw))}),
    }


def _model_card(artifact: ArtifactDocument, members: Mapping[str, bytes], training: _Training) -> dict[str, Any]:
    metrics = [metric for found in card.evaluations(members).values() for metric in _metrics(found)]
    return {
        "modelParameters": {
            "task": artifact.task,
            "approach": {"type": "supervised"},
            "datasets": [{"ref": "data:training"}],
            "inputs": [{"format": "uint8 plane (1, H, W, 1), quantized to int8"}],
            "outputs": [{"format": f"{name}, int8"} for name in artifact.outputs],
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": {
            "useCases": [artifact.intended_use],
            "technicalLimitations": [_stated(training.limits)],
        },
    }


def _metrics(found: Evaluation) -> list[dict[str, Any]]:
    """Return the AUC, and sensitivity and specificity of each operating point, with their 95 % intervals."""
    where = f"{found.split}, {found.n} {found.unit}s, {found.n_abnormal} abnormal"
    listed = [_metric("AUC", found.auc, where)]
    for point in found.operating_points:
        for name, figure in (("sensitivity", point.sensitivity), ("specificity", point.specificity)):
            if figure is not None:
                listed.append(_metric(f"{name} at {point.name}", figure, where))
    return listed


def _metric(kind: str, figure: Figure, where: str) -> dict[str, Any]:
    low, high = figure.ci95
    interval = {"lowerBound": f"{low:.4f}", "upperBound": f"{high:.4f}"}
    return {"type": kind, "value": f"{figure.value:.4f}", "slice": where, "confidenceInterval": interval}


def _materials(training: _Training) -> list[dict[str, Any]]:
    """Return what the model was made from: the images, and the weights it started from."""
    data = {
        "type": "data",
        "bom-ref": "data:training",
        "name": training.recipe or "training data",
        "description": _stated(training.citation),
        "licenses": _licences(training.licence),
        "data": [{"type": "dataset", "name": training.recipe or "training data"}],
        "properties": _properties(
            {
                "licence": _stated(training.licence),
                "train_images": _stated(training.train_images),
                "train_digest": _stated(training.train_digest),
                "validation_images": _stated(training.validation_images),
                "validation_digest": _stated(training.validation_digest),
            }
        ),
    }
    if training.pretrained_sha256 is None:
        return [data]
    weights = {
        "type": "machine-learning-model",
        "bom-ref": "weights:pretrained",
        "name": "pretrained weights",
        "hashes": [_hash(training.pretrained_sha256)],
        "licenses": _licences(training.pretrained_licence),
        "properties": _properties({"licence": _stated(training.pretrained_licence)}),
    }
    return [data, weights]


def _runtime(runtime: Software) -> list[dict[str, Any]]:
    """Return edgemed and the libraries of the device core; a range is no version, so it is a property."""
    parts: list[dict[str, Any]] = [
        {
            "type": "library",
            "bom-ref": "edgemed",
            "name": "edgemed",
            "version": runtime.version,
            "purl": f"pkg:pypi/edgemed@{runtime.version}",
            "licenses": _licences("Apache-2.0"),
        }
    ]
    for requirement in runtime.requires:
        found = _REQUIREMENT.fullmatch(requirement)
        if found is None:
            raise ValueError(f"requires: expected a requirement, got {requirement!r}")
        name = re.sub(r"[-_.]+", "-", found["name"]).lower()  # PEP 503
        about = {"requires": found["range"].strip() or "any"}
        if found["marker"]:
            about["where"] = found["marker"].lstrip("; ")
        parts.append(
            {
                "type": "library",
                "bom-ref": f"pypi:{name}",
                "name": name,
                "purl": f"pkg:pypi/{name}",
                "scope": "required",
                "properties": _properties(about),
            }
        )
    return parts


def _licences(stated: str | None) -> list[dict[str, Any]]:
    """Return a licence under its SPDX identifier, or in its makers' words; nothing for none."""
    if stated is None:
        return []
    spdx = stated.strip().replace(" ", "-")
    return [{"license": {"id": spdx} if spdx in _LICENCES else {"name": stated}}]


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest.removeprefix("sha256:")}


def _properties(values: Mapping[str, str]) -> Sequence[dict[str, str]]:
    return [{"name": f"edgemed:{name}", "value": value} for name, value in sorted(values.items())]


def _stated(value: object) -> str:
    return _NOT_STATED if value is None or value == "" else str(value)
