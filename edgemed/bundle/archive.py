"""What is inside a bundle file, and how a bundle file is made.

Rules: the same members, version and keys give the same bytes; an `Archive` is only taken apart, a `Bundle` comes from
`edgemed.bundle.trust` alone and is verified.

    raw = archive.build_from_folders([folder], version="1.0.0", release=1, private_keys=[key])
    contents = archive.read(raw)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from edgemed import files, schema, targets
from edgemed.bundle import models, signing, stored_zip
from edgemed.bundle.keys import PrivateKey, PublicKey
from edgemed.bundle.manifest import (
    MINIMUM_RUNTIME,
    MODEL,
    REQUIRED_MEMBERS,
    ArtifactDocument,
    Manifest,
    Member,
)
from edgemed.bundle.stored_zip import ARCHIVE_LIMIT_BYTES
from edgemed.errors import BundleError, ConfigError

__all__ = [
    "ARCHIVE_LIMIT_BYTES",
    "MANIFEST",
    "Archive",
    "Bundle",
    "Overlay",
    "build",
    "build_from_folders",
    "read",
    "with_signatures",
]

MANIFEST = "manifest.json"
_SIGNATURES = "signatures/"


@dataclass(frozen=True, kw_only=True, eq=False)
class Archive:
    """A bundle file taken apart, nothing in it trusted.

    Attributes:
        manifest: raw ``manifest.json``.
        envelopes: raw DSSE envelopes by member name, sorted.
        members: every other member's bytes by name, sorted.
    """

    manifest: bytes
    envelopes: Mapping[str, bytes]
    members: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """A decision overlay that is in force; made by `edgemed.bundle.overlay.applied`.

    Attributes:
        version: of its decision document.
        digest: of the signed file.
        accepted: the trusted keys whose signatures hold.
    """

    version: int
    digest: str
    accepted: tuple[PublicKey, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """A verified bundle; made by `edgemed.bundle.trust.verify`.

    Attributes:
        members: every member the manifest lists, by name, sorted.
        digest: of ``manifest.json``, and thereby of everything in the bundle but its signatures.
        envelopes: raw DSSE envelopes by member name, sorted.
        accepted: the trusted keys whose signatures hold, in the order of the envelopes.
        overlay: the decision overlay in force, whose document then stands in ``members``; None without one.
    """

    manifest: Manifest
    members: Mapping[str, bytes]
    digest: str
    envelopes: Mapping[str, bytes]
    accepted: tuple[PublicKey, ...] = ()
    overlay: Overlay | None = None


def read(raw: bytes) -> Archive:
    """Return a bundle file taken apart; its form is checked byte for byte, its signatures and digests are not.

    Raises:
        BundleError: not a canonical archive, without ``manifest.json``, or with a model larger than its limit.
    """
    everything = stored_zip.read(raw)
    manifest = everything.pop(MANIFEST, None)
    if manifest is None:
        raise BundleError(f"archive: has no {MANIFEST}; is it an .edgemed file?")
    envelopes = {name: data for name, data in everything.items() if name.startswith(_SIGNATURES)}
    members = {name: data for name, data in everything.items() if name not in envelopes}
    _require_model_sizes(members)
    return Archive(manifest=manifest, envelopes=MappingProxyType(envelopes), members=MappingProxyType(members))


def build(
    artifact: ArtifactDocument,
    members: Mapping[str, bytes],
    *,
    version: str,
    release: int,
    private_keys: Sequence[PrivateKey],
    minimum_runtime: str = MINIMUM_RUNTIME,
) -> bytes:
    """Return a bundle file of the members, signed by every key; equal arguments give equal bytes.

    Args:
        artifact: what the model is.
        members: by name; `REQUIRED_MEMBERS` at least; neither ``manifest.json`` nor ``signatures/``.
        version: ``MAJOR.MINOR.PATCH``.
        release: counter >= 1 that rises with every bundle of this name; a device refuses a lower one.
        private_keys: one or more, each once.
        minimum_runtime: oldest edgemed version that may open the bundle.

    Raises:
        ConfigError: a required member is absent, a target has no model or a model no target, ``decision.json`` or an
            evaluation among the evidence is of another model or version, or a value is out of range.
        BundleError: a member's name, the size of a model or the total size is outside what an archive holds.
    """
    if not private_keys:
        raise ValueError("private_keys: expected at least one, got none")
    _require_models(members)
    _require_members(members)
    _require_admission(artifact.targets, members)
    _require_binding(members)
    _require_own_evaluations(members)
    manifest = _manifest(artifact, members, version=version, release=release, minimum_runtime=minimum_runtime)
    digest = files.sha256(manifest)
    envelopes = {signing.member_name(key.public.keyid): signing.sign(digest, key) for key in private_keys}
    if len(envelopes) != len(private_keys):
        raise ValueError("private_keys: a key repeats")
    return stored_zip.write({**members, **envelopes, MANIFEST: manifest})


def with_signatures(raw: bytes, private_keys: Sequence[PrivateKey]) -> bytes:
    """Return a bundle file with a signature by each key added; one that is there already stays as it is.

    Args:
        raw: a bundle that was checked, by `edgemed.bundle.trust.inspect` at least.
        private_keys: one or more.

    Raises:
        BundleError: not a bundle file.
    """
    everything = stored_zip.read(raw)
    digest = files.sha256(everything[MANIFEST])
    added = {signing.member_name(key.public.keyid): signing.sign(digest, key) for key in private_keys}
    return stored_zip.write({**added, **everything})


def build_from_folders(
    folders: Sequence[Path],
    *,
    version: str,
    release: int,
    private_keys: Sequence[PrivateKey],
    evidence: Sequence[Path] = (),
    budget: Path | None = None,
) -> bytes:
    """Return a bundle file of artifact folders: ``artifact.json`` and the members as they lie in the bundle.

    Args:
        folders: what ``edgemed convert`` wrote, one or more; several of one model, each with members for its targets.
        version: as in `build`.
        release: as in `build`.
        private_keys: as in `build`.
        evidence: JSON files that enter as ``evidence/NAME``; the figures of evaluations enter the model card and the
            bill of materials too.
        budget: YAML file of the latency budget that the bundle asks for, as `edgemed.bundle.budget`; None for the
            budgets of its targets.

    Raises:
        ConfigError: as `build` and `artifacts.read`; or a file of evidence is missing, unreadable or no JSON, or the
            budget is none, or looser than a target's.
        BundleError: as `build`.
    """
    from edgemed.bundle import artifacts, card, sbom  # here: a device opens bundles and makes none
    from edgemed.bundle import budget as budgets

    contents = artifacts.read(folders)
    members = dict(contents.members)
    for path in evidence:
        name = f"evidence/{path.name}"
        if name in members:
            raise ConfigError(f"{path}: the bundle has {name} already; rename one of the two")
        members[name] = _evidence(path)
    if budget is not None:
        members[budgets.MEMBER] = _budget(budget, contents.document.targets)
    if "card.md" in members:
        members["card.md"] = card.with_evaluations(members["card.md"], members)
    members[sbom.MEMBER] = sbom.render(contents.document, members, version=version, release=release)
    return build(contents.document, members, version=version, release=release, private_keys=private_keys)


def _require_members(members: Mapping[str, bytes]) -> None:
    if missing := [name for name in REQUIRED_MEMBERS if name not in members]:
        raise ConfigError(f"bundle: {', '.join(missing)}: required and missing; make the folder with 'edgemed convert'")
    if taken := [name for name in members if name == MANIFEST or name.startswith(_SIGNATURES)]:
        raise ConfigError(f"bundle: {', '.join(taken)}: written by the build itself; remove it from the members")


def _require_models(members: Mapping[str, bytes]) -> None:
    """Refuse a model that no device would ever look for."""
    for name in sorted(members):
        if name.startswith("model/") and name not in models.MODELS:
            known = ", ".join(models.MODELS)
            raise ConfigError(
                f"bundle: {name}: expected a model among {known}; remove it, or convert with --mode qat or ptq"
            )
    _require_model_sizes(members)


def _require_model_sizes(members: Mapping[str, bytes]) -> None:
    for name, model in models.MODELS.items():
        if (size := len(members.get(name, b""))) > model.limit_bytes:
            raise BundleError(f"{name}: {size} bytes are more than the {model.limit_bytes} accepted")


def _require_admission(target_ids: Sequence[str], members: Mapping[str, bytes]) -> None:
    """Refuse targets without the model that they run, and a model for an accelerator that no target has."""
    for target_id in target_ids:
        if (needed := models.admitted(targets.load(target_id))[0]) not in members:
            raise ConfigError(
                f"artifact.json: targets: {target_id} needs {needed}, which is missing; "
                f"convert with --target {target_id}, or leave the target out"
            )
    for name in models.MODELS:
        if name in members and name != MODEL and not set(models.admits((name,))) & set(target_ids):
            raise ConfigError(
                f"artifact.json: targets: expected one that runs {name}, such as {models.admits((name,))[0]}, got "
                f"{', '.join(target_ids)}; name it, or remove the model"
            )


def _require_binding(members: Mapping[str, bytes]) -> None:
    """Refuse a decision document made for another model: its thresholds would mean nothing."""
    stated = schema.decode_json(members["decision.json"], dict[str, Any], source="decision.json").get("model")
    if stated != (digest := files.sha256(members[MODEL])):
        raise ConfigError(
            f"decision.json: model: expected {digest}, the digest of {MODEL}, got {stated!r}; convert again"
        )


def _require_own_evaluations(members: Mapping[str, bytes]) -> None:
    """Refuse the evaluation of another model or of other thresholds: its figures would stand on this one's card."""
    from edgemed.bundle import card  # here: a device opens bundles and makes none

    rule = schema.decode_json(members["decision.json"], dict[str, Any], source="decision.json")
    own = {"model": rule["model"], "decision_version": rule.get("version")}
    for name, found in card.evaluations(members).items():
        for key, expected in own.items():
            if (stated := getattr(found, key)) != expected:
                raise ConfigError(
                    f"{name}: {key}: expected {expected}, as in decision.json, got {stated}; "
                    "evaluate this model, or leave the file out"
                )


def _manifest(
    artifact: ArtifactDocument, members: Mapping[str, bytes], *, version: str, release: int, minimum_runtime: str
) -> bytes:
    """Return the canonical manifest; a value out of range is refused here, where the one who builds can mend it."""
    listed = {name: Member(sha256=files.sha256(data), size_bytes=len(data)) for name, data in members.items()}
    described = {**msgspec.structs.asdict(artifact), "version": version, "release": release}
    raw = schema.encode_json(Manifest(**described, minimum_runtime=minimum_runtime, members=listed))
    schema.decode_json(raw, Manifest, source="bundle")
    return raw


def _budget(path: Path, target_ids: Sequence[str]) -> bytes:
    from edgemed.bundle import budget

    raw = files.read_bounded(path, limit_bytes=budget.LIMIT_BYTES, error=ConfigError)
    return schema.encode_json(budget.parse(raw, source=str(path), target_ids=target_ids))


def _evidence(path: Path) -> bytes:
    raw = files.read_bounded(path, limit_bytes=ARCHIVE_LIMIT_BYTES, error=ConfigError)
    if path.suffix != ".json":
        raise ConfigError(f"{path}: evidence is a .json file; give it as JSON")
    schema.decode_json(raw, dict[str, Any], source=str(path))
    return raw
