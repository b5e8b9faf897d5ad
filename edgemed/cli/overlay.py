"""``edgemed bundle overlay``: newer thresholds for a bundle, signed on their own."""

from __future__ import annotations

from pathlib import Path

import typer

from edgemed.cli import output, passphrase

__all__ = ["overlay"]

_LIMIT_BYTES = 32 << 20


def overlay(
    bundle: str = typer.Argument(..., metavar="FILE|NAME", help="Bundle that stays as it is."),
    *,
    decision: Path = typer.Option(
        ...,
        metavar="FILE",
        help="Decision document of a higher version; 'bundle info --decision' prints the present one.",
    ),
    key: list[Path] = typer.Option(..., help="Private key to sign with; may be repeated."),
    out: Path = typer.Option(..., help="Overlay to write, e.g. chest-xray-2.overlay."),
    trusted: list[Path] = typer.Option(
        [], "--trust", metavar="KEY|ROOT", help="Public key that has signed the bundle, or one trust root."
    ),
    passphrase_file: Path | None = typer.Option(
        None, help="Take the keys' passphrase from the first line of this file."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Sign newer thresholds for the model of a bundle; devices take them without a new bundle.

    An overlay is bound to the model's digest, and its decision version must be higher than every one before it.
    """
    from edgemed import files, schema
    from edgemed.bundle import overlay as overlays
    from edgemed.bundle import trust
    from edgemed.cli.bundle import located
    from edgemed.errors import ConfigError
    from edgemed.runtime.decision import DecisionRule

    path, root = located(bundle, trusted)
    opened = trust.open_bundle(path, trust=root)
    raw = files.read_bounded(decision, limit_bytes=_LIMIT_BYTES, error=ConfigError)
    rule = schema.decode_json(raw, DecisionRule, source=str(decision))
    signers = passphrase.private_keys(key, passphrase_file)
    written = overlays.encode(opened, raw, private_keys=signers, source=str(decision))
    output.write_file(out, written)
    name, model = opened.manifest.name, rule.model
    keyids = sorted(signer.public.keyid for signer in signers)
    if json:
        made = {"bundle": name, "model": model, "decision_version": rule.version, "active": rule.active}
        output.print_json({"overlay": made, "path": out, "size_bytes": len(written), "signed_by": keyids})
        return
    point = rule.operating_point
    lines = [
        ("bundle", name),
        ("model", model),
        ("decision version", f"{overlays.decision_version(opened)} -> {rule.version}"),
        ("in force", f"{point.name}, threshold {point.threshold:.4f}"),
    ]
    output.fields([*lines, *(("signed by", keyid) for keyid in keyids), ("written", f"{out}, {len(written)} bytes")])
