"""The smallest bundle that a bundle can be, and the keys its tests sign with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgemed import files, schema
from edgemed.bundle import archive, sbom
from edgemed.bundle.keys import PrivateKey
from edgemed.bundle.manifest import ArtifactDocument

KEY = PrivateKey(seed=bytes(range(32)))
OTHER = PrivateKey(seed=bytes(range(1, 33)))
STRANGER = PrivateKey(seed=bytes(range(2, 34)))

ARTIFACT = ArtifactDocument(
    name="tiny",
    task="classify",
    intended_use="tests",
    modalities=("DX",),
    body_part="CHEST",
    labels=("abnormal",),
    targets=("generic-x86-64", "raspberry-pi-4"),
    outputs=("logit",),
)
MODEL = b"model"
MEMBERS = {
    "model/int8.tflite": MODEL,
    "preprocessing.json": b"{}",
    "decision.json": schema.encode_json({"model": files.sha256(MODEL)}),
}


def described(*targets: str, **changes: Any) -> ArtifactDocument:
    """Return the tiny bundle's description with other targets."""
    return msgspec.structs.replace(ARTIFACT, targets=targets, **changes)


def with_bill(members: Mapping[str, bytes] = MEMBERS, *, artifact: ArtifactDocument = ARTIFACT) -> dict[str, bytes]:
    """Return members with the bill of materials that a build of their folder adds."""
    return {**members, sbom.MEMBER: sbom.render(artifact, members, version="1.0.0", release=1)}


def build(
    *,
    private_keys: Sequence[PrivateKey] = (KEY,),
    version: str = "1.0.0",
    release: int = 1,
    minimum_runtime: str = "0.1.0",
    members: Mapping[str, bytes] = MEMBERS,
) -> bytes:
    """Return the tiny bundle."""
    return archive.build(
        ARTIFACT,
        members,
        version=version,
        release=release,
        private_keys=private_keys,
        minimum_runtime=minimum_runtime,
    )


def write_folder(
    folder: Path, *, artifact: ArtifactDocument = ARTIFACT, extra: Mapping[str, bytes] | None = None
) -> Path:
    """Write the tiny bundle's members as an artifact folder, as a converter would, and return the folder."""
    for name, data in {**MEMBERS, **(extra or {}), "artifact.json": schema.encode_json(artifact)}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
