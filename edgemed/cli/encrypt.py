"""``edgemed bundle encrypt``: a bundle that only named devices can read."""

from __future__ import annotations

from pathlib import Path

import typer

from edgemed.cli import output

__all__ = ["encrypt"]


def encrypt(
    bundle: str = typer.Argument(..., metavar="FILE|NAME", help="Bundle to encrypt."),
    *,
    to: list[Path] = typer.Option(
        ..., metavar="PUB", help="Encryption key of a device, the .pub file of its identity; may be repeated."
    ),
    out: Path = typer.Option(..., help="Encrypted bundle to write, e.g. chest-xray-1.0.0.edgemed.age."),
    trusted: list[Path] = typer.Option(
        [], "--trust", metavar="KEY|ROOT", help="Public key that has signed the bundle, or one trust root."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Encrypt a signed bundle to one or several devices; each of them can open it alone.

    The file is in the age format. Signatures stay inside: the device verifies the bundle as any other.
    """
    from edgemed import files
    from edgemed.bundle import encryption, trust
    from edgemed.bundle.archive import ARCHIVE_LIMIT_BYTES
    from edgemed.cli.bundle import located
    from edgemed.errors import BundleError

    path, root = located(bundle, trusted)
    recipients = sorted({encryption.read_recipient(one) for one in to})
    raw = files.read_bounded(path, limit_bytes=ARCHIVE_LIMIT_BYTES, error=BundleError)
    clear = encryption.opened(raw, identity=None, source=str(path))
    with trust.named(path):
        verified = trust.verify(clear, trust=root)
    encrypted = encryption.encrypt(clear, recipients)
    output.write_file(out, encrypted)
    name, version = verified.manifest.name, verified.manifest.version
    if json:
        shown = {"name": name, "version": version, "digest": verified.digest}
        output.print_json({"bundle": shown, "path": out, "size_bytes": len(encrypted), "devices": recipients})
    else:
        lines = [("encrypted", f"{name} {version}"), *(("to", one) for one in recipients)]
        output.fields([*lines, ("written", f"{out}, {len(encrypted)} bytes")])
