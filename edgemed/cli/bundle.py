"""``edgemed bundle``: build, show, check and sign bundles; the other commands on them have files of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgemed.cli import diff, encrypt, output, overlay, passphrase, wheelhouse
from edgemed.cli.arguments import Once
from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from edgemed.bundle.manifest import Manifest
    from edgemed.bundle.roles import Trust
    from edgemed.bundle.trust import Inspection

__all__ = ["app"]

_PARTS = {"card": "card.md", "sbom": "sbom.cdx.json", "decision": "decision.json"}
_WORDS = {"card": "model card", "sbom": "bill of materials", "decision": "decision document"}

app = typer.Typer(help="Build, show, compare, check and sign bundles.", no_args_is_help=True)


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
    budget: Path | None = typer.Option(
        None, metavar="FILE", help="Latency budget of this bundle, YAML; tighter than its targets' own."
    ),
    passphrase_file: Path | None = typer.Option(
        None, help="Take the key's passphrase from the first line of this file."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Make a signed bundle of artifact folders; the same inputs give the same bytes.

    Several folders are of one conversion: what lies in more than one is the same, and the bundle admits all targets.
    """
    from edgemed.bundle import archive, trust

    signer = passphrase.private_key(key, passphrase_file)
    raw = archive.build_from_folders(
        folders, version=version, release=release, private_keys=[signer], evidence=evidence, budget=budget
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
    *,
    trusted: list[Path] = typer.Option(
        [], "--trust", metavar="KEY|ROOT", help="Public key to check it with, may be repeated; or one trust root."
    ),
    card: bool = typer.Option(False, "--card", help="Print the model card instead; with --json, add it."),
    sbom: bool = typer.Option(False, "--sbom", help="Print the bill of materials instead, CycloneDX JSON."),
    decision: bool = typer.Option(False, "--decision", help="Print the decision document instead."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Show what a bundle says of itself, and whether a key you trust has signed it.

    An altered bundle is refused. One that is merely signed by somebody unknown is shown, and marked so.
    """
    from edgemed.bundle import trust

    path, root = located(bundle, trusted)
    shown = trust.inspect_file(path, trust=root)
    asked = [name for name, wanted in (("card", card), ("sbom", sbom), ("decision", decision)) if wanted]
    for name in asked:
        if _PARTS[name] not in shown.members:
            raise ConfigError(f"{path}: carries no {_WORDS[name]}; leave --{name} away")
    if json:
        output.print_json(_document(shown, asked))
    elif asked:
        _print_part(shown, asked)
    else:
        output.fields(_lines(shown))


@app.command(cls=Once)
def verify(
    bundle: str = typer.Argument(..., metavar="FILE|NAME", help="Bundle to check, or the name of a shipped one."),
    trusted: list[Path] = typer.Option(
        [],
        "--trust",
        metavar="KEY|ROOT",
        help="Public key that must have signed, may be repeated; or one trust root. Default: the keys you trust.",
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Check a bundle as a device does; exit 0 when it may be used, 5 when not."""
    from edgemed.bundle import trust

    path, root = located(bundle, trusted)
    opened = trust.open_bundle(path, trust=root)
    accepted = [key.keyid for key in opened.accepted]
    name, version = opened.manifest.name, opened.manifest.version
    if json:
        checked = {"name": name, "version": version, "digest": opened.digest}
        output.print_json({"verified": True, "bundle": checked, "accepted": accepted})
    else:
        lines = [("verified", f"{name} {version}"), ("digest", opened.digest)]
        output.fields([*lines, *(("signed by", keyid) for keyid in accepted)])


@app.command(cls=Once, short_help="Add signatures to a bundle or an overlay.")
def sign(
    path: Path = typer.Argument(..., metavar="FILE", help="Bundle or decision overlay to sign."),
    *,
    key: list[Path] = typer.Option(..., help="Private key to sign with; may be repeated."),
    out: Path = typer.Option(..., help="Signed file to write; may be the same one."),
    passphrase_file: Path | None = typer.Option(
        None, help="Take the keys' passphrase from the first line of this file."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Add signatures to a bundle or an overlay: where a trust root asks for several, each signer adds their own.

    An altered bundle is not signed. Whether it should be released is yours to know: read 'edgemed bundle info' first.
    """
    from edgemed.bundle import cosigning

    signed = cosigning.with_signatures(path, passphrase.private_keys(key, passphrase_file))
    output.write_file(out, signed.raw)
    if json:
        output.print_json({"path": out, "size_bytes": len(signed.raw), "signed_by": signed.keyids})
    else:
        shown = [("signed", signed.title), *(("signed by", keyid) for keyid in signed.keyids)]
        output.fields([*shown, ("written", f"{out}, {len(signed.raw)} bytes")])


app.command(cls=Once, short_help="Say in words what changed between two bundles.")(diff.diff)
app.command(cls=Once, short_help="Sign newer thresholds for the model of a bundle.")(overlay.overlay)
app.command(cls=Once, short_help="Encrypt a bundle to one or several devices.")(encrypt.encrypt)
app.command(cls=Once)(wheelhouse.wheelhouse)


def located(bundle: str, named: list[Path]) -> tuple[Path, Trust | None]:
    """Return a bundle's file and whom to trust with it: those named on the command line, or else its user's keys.

    A name that ships with edgemed wins over a file of that name, as in ``edgemed screen``; its key is the demo key.
    """
    from edgemed import shipped
    from edgemed.bundle import roles, trust, trusted

    given = trusted.from_files(named) if named else None
    if bundle in shipped.names():
        return shipped.bundle_path(bundle), given or roles.of_keys([shipped.demo_key()])
    known = trust.user_keys() if given is None else ()
    return Path(bundle), roles.of_keys(known) if known else given


def _document(shown: Inspection, asked: list[str]) -> dict[str, object]:
    import msgspec

    accepted = [key.keyid for key in shown.accepted]
    return {
        "verified": shown.trusted,
        "accepted": accepted,
        "signed_by": shown.keyids,
        "digest": shown.digest,
        "size_bytes": shown.size_bytes,
        "manifest": shown.manifest,
        "models": _models(shown.manifest),
        **{name: shown.card if name == "card" else msgspec.json.decode(shown.members[_PARTS[name]]) for name in asked},
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


def _print_part(shown: Inspection, asked: list[str]) -> None:
    """Write one document to stdout; that nobody known vouches for it goes to stderr, so that a pipe shows it too."""
    if len(asked) > 1:
        raise ConfigError(f"{' and '.join(f'--{name}' for name in asked)} exclude each other; give one of them")
    if not shown.trusted:
        output.note(f"verified  {_signed(shown)}")
    text = shown.card if asked == ["card"] else _formatted(shown.members[_PARTS[asked[0]]])
    for line in (text or "").removesuffix("\n").split("\n"):
        sys.stdout.write(output.printable(line) + "\n")


def _formatted(raw: bytes) -> str:
    """Return JSON as people read and edit it."""
    import msgspec

    return msgspec.json.format(raw, indent=2).decode("utf-8", "replace")


def _signed(shown: Inspection) -> str:
    accepted = ", ".join(key.keyid for key in shown.accepted)
    if accepted and not shown.trusted:
        return f"NO: too few signatures for your trust root, which counts {accepted}"
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
