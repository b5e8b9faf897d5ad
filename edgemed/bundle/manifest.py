"""The manifest: what a bundle is, what it may be used for, and the digest of everything in it.

An artifact folder states the same about a model before it has a version: `ArtifactDocument`, in ``artifact.json``.

    manifest = manifest.parse(raw)
    artifact = manifest.parse_artifact(raw, source="runs/cxr/coral-usb/artifact.json")
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgemed import schema
from edgemed.errors import BundleError

__all__ = [
    "MANIFEST_LIMIT_BYTES",
    "MINIMUM_RUNTIME",
    "MODEL",
    "REQUIRED_MEMBERS",
    "ArtifactDocument",
    "Manifest",
    "Member",
    "parse",
    "parse_artifact",
]

MANIFEST_LIMIT_BYTES = 1 << 20
MINIMUM_RUNTIME = "0.1.0"  # oldest edgemed that reads what this one writes
MODEL = "model/int8.tflite"
REQUIRED_MEMBERS = ("decision.json", MODEL, "preprocessing.json")  # of every task

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}\Z")]
Version = Annotated[str, Meta(pattern=r"^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\Z")]
Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
Text = Annotated[str, Meta(min_length=1, max_length=4096)]
Modality = Annotated[str, Meta(pattern=r"^[A-Z]{2,16}\Z")]
MemberName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*){0,3}\Z", max_length=128)]


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Digest and size of one member's bytes."""

    sha256: Digest
    size_bytes: Annotated[int, Meta(ge=0, le=1 << 30)]


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model is for, in its makers' words.

    Attributes:
        modalities: the DICOM Modality values it may see.
        labels: of a model of several, one for each of its logits, in order.
        normal_labels: of a model of several labels, those that are no finding; absent where the model has one logit of
            abnormal against normal.
    """

    name: Name
    task: Literal["classify", "segment", "reconstruct"]
    intended_use: Text
    modalities: Annotated[tuple[Modality, ...], Meta(min_length=1, max_length=16)]
    body_part: Text
    labels: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=64)]
    # Not None: what is unset is left out of the document, and an older runtime reads a bundle of one logit as before.
    normal_labels: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=64)] | msgspec.UnsetType = msgspec.UNSET


class ArtifactDocument(Description, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a converter knows about the model it wrote: ``artifact.json``, the part of a manifest without a version.

    Attributes:
        targets: ids of `firmware_configs` that a member admits; none where the model is for comparison only.
        outputs: signature names the model has; what its task defines and is missing here is absent.
    """

    schema: Literal[1] = 1
    targets: Annotated[tuple[Name, ...], Meta(max_length=64)]
    outputs: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=16)]


class Manifest(ArtifactDocument, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Identity, admission and integrity of a bundle; ``manifest.json`` is its canonical JSON.

    Attributes:
        release: counter that only rises; a store refuses one below its floor.
        outputs: signature names the model has; what its task defines and is missing here is absent.
        modalities: DICOM Modality values the model may see.
        targets: ids of `firmware_configs` that a member admits.
        members: every archive member but ``manifest.json`` and ``signatures/``.
        minimum_runtime: oldest edgemed version that understands this bundle.
    """

    schema: Literal[1]
    targets: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=64)]
    version: Version
    release: Annotated[int, Meta(ge=1, le=(1 << 53) - 1)]
    minimum_runtime: Version
    members: dict[MemberName, Member]


def parse(raw: bytes) -> Manifest:
    """Return ``manifest.json`` as a value.

    Raises:
        BundleError: not JSON, unknown key, missing key, wrong type or a value out of range.
    """
    return schema.decode_json(raw, Manifest, source="manifest.json", error=BundleError)


def parse_artifact(raw: bytes, *, source: str) -> ArtifactDocument:
    """Return ``artifact.json`` as a value.

    Raises:
        ConfigError: not JSON, unknown key, missing key, wrong type or a value out of range.
    """
    return schema.decode_json(raw, ArtifactDocument, source=source)
