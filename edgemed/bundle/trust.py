"""Whether a bundle may be used: the one way from a file to a `Bundle`.

`verify` returns a bundle or raises; each step sees only what the steps before it have passed:

0. A path (`open_bundle`, `inspect_file`) is no folder, and a file there starts as an archive does: its first bytes are
   looked at, so that a wrong path is called that.
1. Without a trusted key or a trust root nothing else is read.
2. The size is bounded before anything is read into memory or taken apart.
3. The archive is taken apart, with bounds on members, names, sizes and each model, and must equal the archive rebuilt
   from its members byte for byte: headers, order, times, modes, checksums and nothing before, between or after.
4. Every envelope is taken apart, must equal the envelope rebuilt from its values, and lies under its key's name.
5. Every signature by a trusted key holds over the raw bytes, and there are enough: one for a plain list of keys, as
   many keys of the ``release`` role as a trust root asks for. One invalid signature refuses the bundle even when others
   hold; a signature by a key that is revoked or not known here counts for nothing.
6. Every envelope states the digest of the raw ``manifest.json``, compared in constant time.
7. The manifest is parsed, strictly, and is in canonical form.
8. Members and manifest agree both ways: none missing, none extra, every size and digest, compared in constant time.
9. This edgemed is not older than the bundle's minimum runtime.

A device then asks two more questions: `require_target` and `require_release`.

    bundle = trust.open_bundle(path, keys=trust.user_keys())
    bundle = trust.open_bundle(path, trust=roles.parse(root, source="root.json"))
"""

from __future__ import annotations

import contextlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemed import files, schema
from edgemed.bundle import archive, encryption, roles, signing
from edgemed.bundle import keys as key_files
from edgemed.bundle import manifest as manifests
from edgemed.bundle.archive import ARCHIVE_LIMIT_BYTES, Archive, Bundle
from edgemed.bundle.keys import PublicKey
from edgemed.bundle.manifest import MANIFEST_LIMIT_BYTES, MINIMUM_RUNTIME, REQUIRED_MEMBERS, Manifest
from edgemed.bundle.roles import Requirement, Trust
from edgemed.bundle.root import Role
from edgemed.bundle.signing import Envelope
from edgemed.errors import BundleError, ConfigError, DigestError, RollbackError, SignatureError, TargetMismatchError

__all__ = [
    "Inspection",
    "add_user_key",
    "inspect",
    "inspect_file",
    "named",
    "open_bundle",
    "require_release",
    "require_signers",
    "require_target",
    "user_folder",
    "user_keys",
    "verify",
]

_ENVELOPES_LIMIT = 16
_ARCHIVE_START = b"PK\3\4"  # the local header of the first member
_START_BYTES = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspection:
    """What a bundle says of itself, with its digests checked; whether to run it, `verify` says.

    Attributes:
        keyids: keys that are said to have signed it, 64 hex digits each.
        accepted: those of the keys given whose signatures hold; empty when nobody known has signed.
        trusted: whether they are enough for a device with these keys or this root.
        members: every member the manifest lists, by name, sorted.
    """

    manifest: Manifest
    digest: str
    size_bytes: int
    keyids: tuple[str, ...]
    accepted: tuple[PublicKey, ...]
    trusted: bool
    members: Mapping[str, bytes]

    @property
    def card(self) -> str | None:
        """The model card, markdown; None when the bundle has none."""
        raw = self.members.get("card.md")
        return None if raw is None else raw.decode("utf-8", "replace")


def verify(raw: bytes, *, keys: Sequence[PublicKey] = (), trust: Trust | None = None) -> Bundle:
    """Return the bundle in a file's bytes, after the numbered checks of this module.

    Args:
        raw: the whole file; nothing in it is trusted.
        keys: the trusted keys; one of them must have signed.
        trust: a trust root instead of plain keys; as many of its release keys as it asks for must have signed.

    Raises:
        SignatureError: no key given, too few have signed, or a signature is invalid (1, 4, 5).
        DigestError: the manifest or a member differs from what was signed (6, 8).
        BundleError: anything else a bundle is not (2, 3, 7, 8, 9).
    """
    needed = _requirement(keys, trust)  # 1
    taken, envelopes = _taken_apart(raw)  # 2, 3, 4
    accepted = _signers(envelopes, needed.keys)  # 5
    if len(accepted) < needed.threshold:
        raise SignatureError(_untrusted(envelopes, accepted, needed, plain=trust is None or not trust.root.version))
    manifest, digest = _signed_contents(taken, envelopes)  # 6, 7, 8
    _require_runtime(manifest)  # 9
    return Bundle(manifest=manifest, members=taken.members, digest=digest, envelopes=taken.envelopes, accepted=accepted)


def open_bundle(path: Path, *, keys: Sequence[PublicKey] = (), trust: Trust | None = None) -> Bundle:
    """Return the bundle in a file, after the numbered checks of this module; messages name the file.

    Raises:
        BundleError: as `verify`, or the file is missing, unreadable, larger than `ARCHIVE_LIMIT_BYTES`, or no archive.
    """
    _require_archive(path)  # 0
    _requirement(keys, trust)  # 1, before anything else of the file is read
    raw = files.read_bounded(path, limit_bytes=ARCHIVE_LIMIT_BYTES, error=BundleError)  # 2
    with named(path):
        return verify(raw, keys=keys, trust=trust)


def inspect(raw: bytes, *, keys: Sequence[PublicKey] = (), trust: Trust | None = None) -> Inspection:
    """Return what a bundle says of itself, after every check of `verify` but 1, 9 and "enough" of 5.

    Raises:
        BundleError: as `verify`, but for a bundle that nobody known has signed or that needs a newer edgemed.
    """
    taken, envelopes = _taken_apart(raw)
    needed = _requirement(keys, trust) if keys or trust else None
    accepted = _signers(envelopes, needed.keys if needed else ())
    manifest, digest = _signed_contents(taken, envelopes)
    return Inspection(
        manifest=manifest,
        digest=digest,
        size_bytes=len(raw),
        keyids=tuple(envelope.keyid for envelope in envelopes),
        accepted=accepted,
        trusted=needed is not None and len(accepted) >= needed.threshold,
        members=taken.members,
    )


def inspect_file(path: Path, *, keys: Sequence[PublicKey] = (), trust: Trust | None = None) -> Inspection:
    """Return what a bundle file says of itself, as `inspect`; messages name the file.

    Raises:
        BundleError: as `inspect`, or the file is missing, unreadable, larger than `ARCHIVE_LIMIT_BYTES`, or no archive.
    """
    _require_archive(path)  # 0
    raw = files.read_bounded(path, limit_bytes=ARCHIVE_LIMIT_BYTES, error=BundleError)
    with named(path):
        return inspect(raw, keys=keys, trust=trust)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Put a file's name before what `verify` or `inspect` says is wrong with its bytes."""
    try:
        yield
    except BundleError as err:
        raise type(err)(f"{path}: {err}") from err


def require_signers(bundle: Bundle, trust: Trust) -> None:
    """Check that a bundle which one trust accepted would be accepted by another: a newer root, before it is taken.

    Raises:
        SignatureError: it would not (5).
    """
    needed = trust.requirement(Role.RELEASE)
    envelopes = tuple(_envelope(name, raw) for name, raw in bundle.envelopes.items())
    accepted = _signers(envelopes, needed.keys)
    if len(accepted) < needed.threshold:
        raise SignatureError(_untrusted(envelopes, accepted, needed, plain=not trust.root.version))


def require_target(bundle: Bundle, target_id: str) -> None:
    """Check that a member of the bundle admits the target.

    Raises:
        TargetMismatchError: none does.
    """
    admitted = bundle.manifest.targets
    if target_id not in admitted:
        name = f"{bundle.manifest.name} {bundle.manifest.version}"
        hint = schema.near_match(target_id, list(admitted))
        raise TargetMismatchError(f"{name}: expected a target among {', '.join(admitted)}, got {target_id!r}{hint}")


def require_release(bundle: Bundle, floor: int) -> None:
    """Check that the bundle's release counter is not below the floor of a store.

    Raises:
        RollbackError: it is.
    """
    if bundle.manifest.release < floor:
        name = f"{bundle.manifest.name} {bundle.manifest.version}"
        raise RollbackError(
            f"{name}: release {bundle.manifest.release} lies below the floor {floor}; use a newer bundle"
        )


def user_folder() -> Path:
    """Return where this user's trusted keys lie; it need not exist."""
    import platformdirs

    return platformdirs.user_config_path("edgemed") / "trusted"


def user_keys(folder: Path | None = None) -> tuple[PublicKey, ...]:
    """Return the trusted keys in a folder (default `user_folder`), in file-name order; no folder, no keys.

    Raises:
        ConfigError: a ``.pub`` file there is no Ed25519 public key.
    """
    return tuple(map(key_files.read_public, sorted((folder or user_folder()).glob("*.pub"))))


def add_user_key(key: PublicKey, folder: Path | None = None) -> Path:
    """Add a key to the trusted keys of a folder (default `user_folder`) and return its file.

    A key that is there already stays as it is.

    Raises:
        ConfigError: the folder cannot be written.
    """
    path = (folder or user_folder()) / f"{key.keyid[:16]}.pub"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomic(path, key_files.encode_public(key))
    except OSError as err:
        raise ConfigError(f"{path}: cannot be written: {err.strerror or err}; check its permissions") from err
    return path


def _require_archive(path: Path) -> None:
    """Step 0; a pipe is let through, for what is taken from it is gone."""
    try:
        if path.is_dir():
            raise BundleError(f"{path}: is a folder, expected an .edgemed file; name the file in it")
        if path.exists() and not path.is_file():
            return
        with path.open("rb") as stream:
            start = stream.read(_START_BYTES)
    except OSError as err:
        raise BundleError(f"{path}: cannot be read: {err.strerror or err}; check the path and its permissions") from err
    if encryption.is_encrypted(start):
        raise BundleError(f"{path}: is encrypted to a device's key; only that device can open it")
    if not start.startswith(_ARCHIVE_START):
        raise BundleError(f"{path}: not an .edgemed file, it starts as no bundle does; check the path")


def _requirement(keys: Sequence[PublicKey], trust: Trust | None) -> Requirement:
    """Step 1: who must sign a bundle; no key at all is an error."""
    if trust is not None and keys:
        raise ValueError("keys and trust: expected one of them, got both")
    return (roles.of_keys(keys) if trust is None else trust).requirement(Role.RELEASE)


def _taken_apart(raw: bytes) -> tuple[Archive, tuple[Envelope, ...]]:
    """Steps 2 to 4: the archive and its envelopes, in the one form they have."""
    taken = archive.read(raw)  # 2, 3
    if not 1 <= len(taken.envelopes) <= _ENVELOPES_LIMIT:
        raise SignatureError(f"archive: expected 1 to {_ENVELOPES_LIMIT} signatures, got {len(taken.envelopes)}")
    return taken, tuple(_envelope(name, data) for name, data in taken.envelopes.items())  # 4


def _envelope(name: str, raw: bytes) -> Envelope:
    envelope = signing.parse(raw, source=name)
    if name != signing.member_name(envelope.keyid):
        raise SignatureError(f"{name}: expected the name {signing.member_name(envelope.keyid)}, after the key in it")
    return envelope


def _signers(envelopes: Sequence[Envelope], keys: Sequence[PublicKey]) -> tuple[PublicKey, ...]:
    """Step 5: the keys whose signatures hold; one that does not hold raises."""
    known = {key.keyid: key for key in keys}
    signed = [(envelope, known[envelope.keyid]) for envelope in envelopes if envelope.keyid in known]
    for envelope, key in signed:
        signing.verify(envelope, key)
    return tuple(key for _, key in signed)


def _untrusted(
    envelopes: Sequence[Envelope], accepted: Sequence[PublicKey], needed: Requirement, *, plain: bool
) -> str:
    if not plain:
        return needed.refusal([envelope.keyid for envelope in envelopes], accepted)
    signers = ", ".join(envelope.keyid[:16] for envelope in envelopes)
    trusted = ", ".join(key.keyid[:16] for key in needed.keys)
    return (
        f"signed by {signers}, expected a signature by a trusted key: {trusted}; "
        "if you trust its maker, give the maker's key with --trust KEY.pub"
    )


def _signed_contents(taken: Archive, envelopes: Sequence[Envelope]) -> tuple[Manifest, str]:
    """Steps 6 to 8: the manifest and its digest."""
    digest = files.sha256(taken.manifest)
    for envelope in envelopes:  # 6
        if not hmac.compare_digest(envelope.digest, digest):
            name = signing.member_name(envelope.keyid)
            raise DigestError(
                f"manifest.json: its digest is not the one in {name}; get the bundle again from its maker"
            )
    manifest = _manifest(taken.manifest)  # 7
    _require_agreement(taken.members, manifest)  # 8
    return manifest, digest


def _manifest(raw: bytes) -> Manifest:
    if len(raw) > MANIFEST_LIMIT_BYTES:
        raise BundleError(f"manifest.json: {len(raw)} bytes are more than the {MANIFEST_LIMIT_BYTES} accepted")
    manifest = manifests.parse(raw)
    if schema.encode_json(manifest) != raw:
        raise BundleError("manifest.json: not in canonical form; build the bundle with 'edgemed bundle build'")
    return manifest


def _require_agreement(members: Mapping[str, bytes], manifest: Manifest) -> None:
    """Step 8: what lies in the archive is what the manifest lists, and the other way round."""
    listed = manifest.members
    if missing := sorted((set(listed) | set(REQUIRED_MEMBERS)) - set(members)):
        raise DigestError(f"archive: {', '.join(missing)}: missing; get the bundle again from its maker")
    if extra := sorted(set(members) - set(listed)):
        raise DigestError(f"archive: {', '.join(extra)}: not in the manifest; get the bundle again from its maker")
    for name, expected in listed.items():
        data = members[name]
        if len(data) != expected.size_bytes or not hmac.compare_digest(files.sha256(data), expected.sha256):
            raise DigestError(f"{name}: its bytes are not those that were signed; get the bundle again from its maker")


def _require_runtime(manifest: Manifest) -> None:
    """Step 9."""
    if _numbers(manifest.minimum_runtime) <= _numbers(MINIMUM_RUNTIME):
        return  # What this edgemed writes it reads; looking up its version costs 20 ms at every start of a device.
    from edgemed import __version__

    if _numbers(__version__) < _numbers(manifest.minimum_runtime):
        raise BundleError(
            f"{manifest.name} {manifest.version}: needs edgemed {manifest.minimum_runtime} or newer, "
            f"this is {__version__}; upgrade edgemed"
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, so that 0.2.0.dev1 counts as 0.2.0."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()
