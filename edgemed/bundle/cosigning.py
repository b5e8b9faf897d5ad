"""Signatures added to a file that others have signed, or will: what m-of-n keys in several hands need.

signed = cosigning.with_signatures(Path("chest-xray-1.0.0.edgemed"), [key])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemed import files
from edgemed.bundle import archive, dsse, overlay, roles, trust
from edgemed.bundle.archive import ARCHIVE_LIMIT_BYTES
from edgemed.bundle.keys import PrivateKey
from edgemed.errors import BundleError

__all__ = ["CoSigned", "root_with_signatures", "with_signatures"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CoSigned:
    """A file with its signatures.

    Attributes:
        raw: the whole file.
        title: what it is, in words.
        keyids: everybody who is said to have signed it, sorted.
    """

    raw: bytes
    title: str
    keyids: tuple[str, ...]


def with_signatures(path: Path, private_keys: Sequence[PrivateKey]) -> CoSigned:
    """Return a bundle or a decision overlay with a signature by each key added.

    Raises:
        BundleError: the file is neither, was altered, or an older signature by one of the keys does not hold.
    """
    raw = files.read_bounded(path, limit_bytes=ARCHIVE_LIMIT_BYTES, error=BundleError)
    publics = [key.public for key in private_keys]
    if raw.startswith(b"{"):
        signed, keyids = _sealed(raw, private_keys, kind=overlay.PAYLOAD_TYPE, source=str(path))
        inside = overlay.verify(signed, trust=roles.of_keys(publics), source=str(path))
        title = f"decision overlay {inside.version} for {inside.document.bundle}"
        return CoSigned(raw=signed, title=title, keyids=keyids)
    trust.inspect_file(path, keys=publics)  # what is not intact is signed by nobody
    signed = archive.with_signatures(raw, private_keys)
    shown = trust.inspect(signed, keys=publics)
    manifest = shown.manifest
    title = f"{manifest.name} {manifest.version}, release {manifest.release}"
    return CoSigned(raw=signed, title=title, keyids=tuple(sorted(shown.keyids)))


def root_with_signatures(raw: bytes, private_keys: Sequence[PrivateKey], *, source: str) -> CoSigned:
    """Return a trust root with a signature by each key added; whether they suffice is not asked.

    Raises:
        SignatureError: not the envelope of a root, or an older signature by one of the keys does not hold.
        BundleError: what is in it is no root.
    """
    signed, keyids = _sealed(raw, private_keys, kind=roles.PAYLOAD_TYPE, source=source)
    root, _ = roles.contents(signed, source=source)
    return CoSigned(raw=signed, title=f"trust root {root.version}", keyids=keyids)


def _sealed(raw: bytes, private_keys: Sequence[PrivateKey], *, kind: str, source: str) -> tuple[bytes, tuple[str, ...]]:
    """Return an envelope with a signature by each key added, and whose signatures are in it."""
    sealed = dsse.parse(raw, kind=kind, source=source)
    dsse.signers(sealed, [key.public for key in private_keys], source=source)
    signed = dsse.with_signatures(sealed, private_keys)
    return signed, tuple(dsse.parse(signed, kind=kind, source=source).signatures)
