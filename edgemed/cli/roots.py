"""``edgemed keys root|rotate|revoke``: trust roots, which say how many of which keys must sign."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgemed.cli import output, passphrase
from edgemed.cli.arguments import Once
from edgemed.errors import BundleError, ConfigError, SignatureError

if TYPE_CHECKING:
    from edgemed.bundle.keys import PublicKey
    from edgemed.bundle.root import Role, Root

__all__ = ["app", "revoke", "rotate"]

app = typer.Typer(help="Make, show and sign trust roots.", no_args_is_help=True)

_KEYID = re.compile(r"[0-9a-f]{16,64}")
_PUBLIC = "Public key of the {} role; may be repeated."
_NEEDED = "How many {} keys must sign."
_SIGNERS = typer.Option(..., "--key", metavar="KEY", help="Private key to sign with; may be repeated.")
_PASSPHRASE = typer.Option(
    None, "--passphrase-file", metavar="FILE", help="Take the keys' passphrase from the first line of this file."
)
_JSON = typer.Option(False, "--json", help="Print one JSON document.")
_OUT = typer.Option(..., "--out", metavar="FILE", help="Trust root to write, e.g. root-1.json.")


def _keys_of(role: str, default: str = "") -> list[Path]:
    option: list[Path] = typer.Option([], f"--{role}-key", metavar="PUB", help=_PUBLIC.format(role) + default)
    return option


def _needed_of(role: str) -> int | None:
    option: int | None = typer.Option(None, f"--{role}-needed", min=1, metavar="M", help=_NEEDED.format(role))
    return option


@app.command(cls=Once)
def new(
    *,
    key: list[Path] = _SIGNERS,
    root_key: list[Path] = _keys_of("root", " Default: the keys that sign now."),
    root_needed: int | None = _needed_of("root"),
    release_key: list[Path] = _keys_of("release", " Default: the root keys."),
    release_needed: int | None = _needed_of("release"),
    threshold_key: list[Path] = _keys_of("threshold", " Default: the release keys."),
    threshold_needed: int | None = _needed_of("threshold"),
    out: Path = _OUT,
    passphrase_file: Path | None = _PASSPHRASE,
    json: bool = _JSON,
) -> None:
    """Make the first trust root of a product; where nothing is said, one key of a role is enough.

    Root keys sign the next root, release keys bundles, threshold keys decision overlays. Keep root keys offline.
    """
    from edgemed.bundle import roles
    from edgemed.bundle.root import Role, payload_of

    signers = passphrase.private_keys(key, passphrase_file)
    given = _publics({Role.ROOT: root_key, Role.RELEASE: release_key, Role.THRESHOLD: threshold_key})
    needed = {Role.ROOT: root_needed, Role.RELEASE: release_needed, Role.THRESHOLD: threshold_needed}
    listed = {Role.ROOT: given.get(Role.ROOT) or [signer.public for signer in signers]}
    listed[Role.RELEASE] = given.get(Role.RELEASE) or listed[Role.ROOT]
    listed[Role.THRESHOLD] = given.get(Role.THRESHOLD) or listed[Role.RELEASE]
    payload = payload_of(version=1, keys=listed, thresholds={role: needed[role] or 1 for role in Role})
    raw = roles.encode(payload, signers)
    output.write_file(out, raw)
    _say_missing(raw, None, out)
    _show(raw, out, json=json)


@app.command(cls=Once)
def show(
    root: Path = typer.Argument(..., metavar="ROOT", help="Trust root to show."),
    json: bool = _JSON,
) -> None:
    """Show a trust root: who may sign what, how many are needed, and who is revoked.

    It need not have enough signatures yet: those who add theirs read it first.
    """
    from edgemed import files
    from edgemed.bundle import roles

    raw = files.read_bounded(root, limit_bytes=roles.ROOT_LIMIT_BYTES, error=BundleError)
    _show(raw, root, json=json)
    _say_missing(raw, None, root)


@app.command(cls=Once)
def sign(
    root: Path = typer.Argument(..., metavar="ROOT", help="Trust root to sign; it need not have enough signatures."),
    *,
    key: list[Path] = _SIGNERS,
    out: Path = typer.Option(..., "--out", metavar="FILE", help="Signed root to write; may be the same file."),
    passphrase_file: Path | None = _PASSPHRASE,
    json: bool = _JSON,
) -> None:
    """Add signatures to a trust root: each holder of a root key adds their own. Read what you sign first."""
    from edgemed import files
    from edgemed.bundle import cosigning, roles

    raw = files.read_bounded(root, limit_bytes=roles.ROOT_LIMIT_BYTES, error=ConfigError)
    signers = passphrase.private_keys(key, passphrase_file)
    signed = cosigning.root_with_signatures(raw, signers, source=str(root))
    output.write_file(out, signed.raw)
    _say_missing(signed.raw, None, out)
    _show(signed.raw, out, json=json)


def rotate(
    root: Path = typer.Argument(..., metavar="ROOT", help="Trust root in force."),
    *,
    key: list[Path] = typer.Option(
        ..., metavar="KEY", help="Private root key, old or new, to sign with; may be repeated. Both must be enough."
    ),
    root_key: list[Path] = _keys_of("root", " Default: as before."),
    root_needed: int | None = _needed_of("root"),
    release_key: list[Path] = _keys_of("release", " Default: as before."),
    release_needed: int | None = _needed_of("release"),
    threshold_key: list[Path] = _keys_of("threshold", " Default: as before."),
    threshold_needed: int | None = _needed_of("threshold"),
    revoked: list[str] = typer.Option([], "--revoke", metavar="PUB|KEYID", help="Key to revoke; may be repeated."),
    out: Path = _OUT,
    passphrase_file: Path | None = _PASSPHRASE,
    json: bool = _JSON,
) -> None:
    """Make the trust root that follows one: the keys given replace those of their role, the rest stays.

    Devices take it when enough old root keys and enough new ones have signed, in the order of the versions.
    """
    from edgemed.bundle.root import Role

    given = _publics({Role.ROOT: root_key, Role.RELEASE: release_key, Role.THRESHOLD: threshold_key})
    needed = {Role.ROOT: root_needed, Role.RELEASE: release_needed, Role.THRESHOLD: threshold_needed}
    thresholds = {role: count for role, count in needed.items() if count is not None}
    _succeed(root, key, passphrase_file, out, keys=given, thresholds=thresholds, revoke=revoked, json=json)


def revoke(
    root: Path = typer.Argument(..., metavar="ROOT", help="Trust root in force."),
    revoked: list[str] = typer.Argument(..., metavar="PUB|KEYID...", help="Keys to revoke: files, or key ids."),
    *,
    key: list[Path] = _SIGNERS,
    out: Path = _OUT,
    passphrase_file: Path | None = _PASSPHRASE,
    json: bool = _JSON,
) -> None:
    """Make the trust root in which keys count for nothing; to replace them in one step, use 'rotate --revoke'."""
    _succeed(root, key, passphrase_file, out, keys={}, thresholds={}, revoke=revoked, json=json)


def _succeed(
    path: Path,
    key: Sequence[Path],
    passphrase_file: Path | None,
    out: Path,
    *,
    keys: Mapping[Role, Sequence[PublicKey]],
    thresholds: Mapping[Role, int],
    revoke: Sequence[str],
    json: bool,
) -> None:
    """Write and show the root after the one in a file."""
    from edgemed.bundle import roles, trusted
    from edgemed.bundle.root import successor

    trust = trusted.read_root(path)
    ids = [_keyid(one, trust.root) for one in revoke]
    payload = successor(trust.root, keys=keys, thresholds=thresholds, revoke=ids)
    raw = roles.encode(payload, passphrase.private_keys(key, passphrase_file))
    output.write_file(out, raw)
    _say_missing(raw, path, out)
    _show(raw, out, json=json)


def _publics(paths: Mapping[Role, Sequence[Path]]) -> dict[Role, list[PublicKey]]:
    """Return the keys of the roles that files were named for."""
    from edgemed.bundle import keys

    return {role: [keys.read_public(path) for path in named] for role, named in paths.items() if named}


def _keyid(text: str, root: Root) -> str:
    """Return the id of a key that is named by its file or by the first 16 digits of its id at least."""
    from edgemed.bundle import keys

    if not _KEYID.fullmatch(text):
        return keys.read_public(Path(text)).keyid
    found = [keyid for keyid in root.keys if keyid.startswith(text)]
    return found[0] if found else text


def _say_missing(raw: bytes, before: Path | None, out: Path) -> None:
    """Say on stderr which signatures a root still needs before a device takes it."""
    from edgemed.bundle import roles, trusted

    try:
        if before is None:
            roles.parse(raw, source=str(out))
        else:
            roles.rotated(trusted.read_root(before), raw, source=str(out))
    except SignatureError as error:
        output.note(f"not yet enough signatures: {error}: 'edgemed keys root sign {out}'")


def _show(raw: bytes, path: Path, *, json: bool) -> None:
    from edgemed.bundle import roles
    from edgemed.bundle.root import Role

    root, signed = roles.contents(raw, source=str(path))
    if json:
        output.print_json({"path": path, "root": root, "signed_by": signed})
        return
    lines = [("root", f"{path}, version {root.version}")]
    for role in Role:
        named = root.role(role)
        lines.append((role.value, f"{named.threshold} of {len(named.keyids)}"))
        lines += [("", keyid + (" revoked" if keyid in root.revoked else "")) for keyid in named.keyids]
    lines += [("revoked", keyid) for keyid in root.revoked]
    output.fields([*lines, ("revocation", str(root.revocation)), *(("signed by", keyid) for keyid in signed)])
