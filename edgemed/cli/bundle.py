"""``edgemed bundle``: build, show and check signed bundles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgemed.cli import output, passphrase
from edgemed.cli.arguments import Once
from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from edgemed.bundle.keys import PrivateKey, PublicKey
    from edgemed.bundle.manifest import Manifest
    from edgemed.bundle.trust import Inspection

__all__ = ["app"]

app = typer.Typer(help="Build, show and check signed bundles.", no_args_is_help=True)


@app.command(cls=Once)
def build(
    folders: list[Path] = typer.Argument(
        ...,
        metavar="FOLDER...",
        help="Artifact folder that 'edgemed convert' wrote; several of one model are put together.",
    ),
    *,
    key: Path = typer.Option(..., help="Private key to sign with; make one with 'edgemed keys new'."),
    out: Path = typer.Option(..., help="Bundle to write, e.g. chest-xray-1.0.0.edgemed."),
    version: str = typer.Option("1.0.0", help="MAJOR.MINOR.PATCH of the bundle."),
    release: int = typer.Option(
        1,
        min=1,
        max=(1 << 53) - 1,
        help="Counter that rises with every bundle of this name; devices refuse a lower one.",
    ),
    evidence: list[Path] = typer.Option([], metavar="FILE", help="JSON result to carry along; may be repeated."),
    passphrase_file: Path | None = typer.Option(
        None, help="Take the key's passphrase from the first line of this file."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Make a signed bundle of artifact folders; the same inputs give the same bytes.

    Several folders are of one conversion: what lies in more than one is the same, and the bundle admits all targets.
    """
    from edgemed.bundle import archive, trust

    signer = _private_key(key, passphrase_file)
    raw = archive.build_from_folders(
        folders, version=version, release=release, private_keys=[signer], evidence=evidence
    )
    # What is written is what opens: the new bundle passes every check before it has a name.
    bundle = trust.verify(raw, keys=[signer.public])
    output.write_file(out, raw)
    built = {"name": bundle.manifest.name, "version": bundle.manifest.version, "digest": bundle.digest}
    if json:
        output.print_json({"bundle": built, "path": out, "size_bytes": len(raw), "signed_by": [signer.public.keyid]})
    else:
        output.fields([*built.items(), ("signed by", signer.public.keyid), ("written", f"{out}, {len(raw)} bytes")])


@app.command(cls=Once)
def info(
    bundle: str = typer.Argument(..., metavar="FILE|NAME", help="Bundle to show, or the name of a shipped one."),
    trusted: list[Path] = typer.Option(
        [], "--trust", metavar="KEY", help="Public key to check it with; may be repeated."
    ),
    card: bool = typer.Option(False, "--card", help="Print the model card instead; with --json, add it."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Show what a bundle says of itself, and whether a key you trust has signed it.

    An altered bundle is refused. One that is merely signed by somebody unknown is shown, and marked so.
    """
    from edgemed.bundle import trust

    path, keys = _located(bundle, trusted)
    shown = trust.inspect_file(path, keys=keys)
    if card and shown.card is None:
        raise ConfigError(f"{path}: carries no model card; leave --card away")
    if json:
        output.print_json(_document(shown, card=card))
    elif card:
        _print_card(shown)
    else:
        output.fields(_lines(shown))


@app.command(cls=Once)
def verify(
    bundle: str = typer.Argument(..., metavar="FILE|NAME", help="Bundle to check, or the name of a shipped one."),
    trusted: list[Path] = typer.Option(
        [],
        "--trust",
        metavar="KEY",
        help="Public key that must have signed; may be repeated. Default: the keys you trust.",
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Check a bundle as a device does; exit 0 when it may be used, 5 when not."""
    from edgemed.bundle import trust

    path, keys = _located(bundle, trusted)
    opened = trust.open_bundle(path, keys=keys)
    accepted = [key.keyid for key in opened.accepted]
    name, version = opened.manifest.name, opened.manifest.version
    if json:
        checked = {"name": name, "version": version, "digest": opened.digest}
        output.print_json({"verified": True, "bundle": checked, "accepted": accepted})
    else:
        lines = [("verified", f"{name} {version}"), ("digest", opened.digest)]
        output.fields([*lines, *(("signed by", keyid) for keyid in accepted)])


def _private_key(path: Path, passphrase_file: Path | None) -> PrivateKey:
    """Return the signing key, asking for its passphrase only where it has one."""
    from edgemed import files
    from edgemed.bundle import keys

    raw = files.read_bounded(path, limit_bytes=keys.KEY_LIMIT_BYTES, error=ConfigError)
    secret = None
    if keys.is_encrypted(raw):
        secret = passphrase.from_file(passphrase_file) if passphrase_file else passphrase.ask_existing(path)
    return keys.parse_private(raw, passphrase=secret, source=str(path))


def _located(bundle: str, trusted: list[Path]) -> tuple[Path, tuple[PublicKey, ...]]:
    """Return a bundle's file and the keys to check it with: those named on the command line, or else its user's.

    A name that ships with edgemed wins over a file of that name, as in ``edgemed screen``; its key is the demo key.
    """
    from edgemed import shipped
    from edgemed.bundle import keys, trust

    named = tuple(map(keys.read_public, trusted))
    if bundle in shipped.names():
        return shipped.bundle_path(bundle), named or (shipped.demo_key(),)
    return Path(bundle), named or trust.user_keys()


def _document(shown: Inspection, *, card: bool) -> dict[str, object]:
    accepted = [key.keyid for key in shown.accepted]
    return {
        "verified": bool(accepted),
        "accepted": accepted,
        "signed_by": shown.keyids,
        "digest": shown.digest,
        "size_bytes": shown.size_bytes,
        "manifest": shown.manifest,
        "models": _models(shown.manifest),
        **({"card": shown.card} if card else {}),
    }


def _models(manifest: Manifest) -> list[dict[str, Any]]:
    """Return each model of a bundle with what it is for, and the targets that run it."""
    from edgemed.bundle import models

    return [
        {
            "member": name,
            "accelerator": models.MODELS[name].accelerator.value,
            "precision": models.MODELS[name].precision.value,
            "targets": ids,
        }
        for name, ids in models.by_member(manifest.targets, manifest.members).items()
    ]


def _print_card(shown: Inspection) -> None:
    """Write the card to stdout; that nobody known vouches for it goes to stderr, so that a pipe shows it too."""
    if not shown.accepted:
        output.note(f"verified  {_signed(shown)}")
    for line in (shown.card or "").removesuffix("\n").split("\n"):
        sys.stdout.write(output.printable(line) + "\n")


def _signed(shown: Inspection) -> str:
    accepted = ", ".join(key.keyid for key in shown.accepted)
    return f"yes, by {accepted}" if accepted else "NO: signature not checked, no key you trust has signed this"


def _lines(shown: Inspection) -> list[tuple[str, str]]:
    manifest = shown.manifest
    return [
        ("verified", _signed(shown)),
        ("signed by", ", ".join(shown.keyids)),
        ("bundle", f"{manifest.name} {manifest.version}, release {manifest.release}"),
        ("digest", shown.digest),
        ("size", f"{shown.size_bytes} bytes"),
        ("task", manifest.task),
        ("intended use", manifest.intended_use),
        ("modalities", ", ".join(manifest.modalities)),
        ("body part", manifest.body_part),
        ("labels", ", ".join(manifest.labels)),
        ("outputs", ", ".join(manifest.outputs)),
        ("targets", ", ".join(manifest.targets)),
        *((f"runs {model['member']}", ", ".join(model["targets"]) or "none of them") for model in _models(manifest)),
        ("needs edgemed", f"{manifest.minimum_runtime} or newer"),
        *((name, f"{member.size_bytes} bytes  {member.sha256}") for name, member in sorted(manifest.members.items())),
    ]
