"""``edgemed keys``: make signing keys and trust roots, and say whose signatures this user trusts."""

from __future__ import annotations

from pathlib import Path

import typer

from edgemed.cli import output, passphrase, roots
from edgemed.cli.arguments import Once
from edgemed.errors import ConfigError

__all__ = ["app"]

app = typer.Typer(help="Make keys and trust roots, and list the keys you trust.", no_args_is_help=True)


@app.command(cls=Once)
def new(
    path: Path = typer.Argument(
        ..., metavar="KEY", help="Private key to write, e.g. my.key; my.pub appears beside it."
    ),
    passphrase_file: Path | None = typer.Option(None, help="Take the passphrase from the first line of this file."),
    no_passphrase: bool = typer.Option(False, "--no-passphrase", help="Leave the private key unencrypted."),
    no_trust: bool = typer.Option(False, "--no-trust", help="Do not add the public half to your trusted keys."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Make an Ed25519 key pair; an older file is never overwritten."""
    from edgemed.bundle import keys, trust

    if no_passphrase and passphrase_file:
        raise ConfigError("--no-passphrase and --passphrase-file exclude each other; give one of them")
    keys.require_new(path)
    secret = None
    if not no_passphrase:
        secret = passphrase.from_file(passphrase_file) if passphrase_file else passphrase.ask_new(path)
    key = keys.generate()
    public = keys.write_new(path, key, passphrase=secret)
    try:
        trusted = None if no_trust else trust.add_user_key(key.public)
    except BaseException as err:
        # A retry finds the place as it was.
        path.unlink()
        public.unlink()
        if isinstance(err, ConfigError):
            raise ConfigError(f"{err}, or leave your trusted keys alone with --no-trust; no key was written") from err
        raise
    if json:
        output.print_json({"keyid": key.public.keyid, "private": path, "public": public, "trusted": trusted})
        return
    lines = [("keyid", key.public.keyid), ("private", f"{path} (keep it secret)"), ("public", str(public))]
    output.fields([*lines, ("trusted here", str(trusted or "no"))])


@app.command("trust", cls=Once)
def add(
    paths: list[Path] = typer.Argument(..., metavar="FILE...", help="Public keys (.pub) of makers you trust."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Trust bundles signed by these keys, as this user, from now on."""
    from edgemed.bundle import keys, trust

    # All are read before one is added: a bad file leaves the trusted keys as they were.
    added = [(key.keyid, trust.add_user_key(key)) for key in [keys.read_public(path) for path in paths]]
    if json:
        output.print_json({"trusted": [{"keyid": keyid, "path": path} for keyid, path in added]})
    else:
        output.fields((keyid, f"trusted, as {path}") for keyid, path in added)


@app.command("list", cls=Once)
def show(json: bool = typer.Option(False, "--json", help="Print one JSON document.")) -> None:
    """List the keys this user trusts."""
    from edgemed.bundle import trust

    folder = trust.user_folder()
    trusted = trust.user_keys(folder)
    if json:
        output.print_json({"folder": folder, "trusted": [key.keyid for key in trusted]})
    elif trusted:
        output.fields((key.keyid, f"in {folder}") for key in trusted)
    else:
        output.note(f"no trusted keys in {folder}; add one with 'edgemed keys trust FILE.pub'")


app.add_typer(roots.app, name="root")
app.command(cls=Once, short_help="Make the trust root that follows one, with other keys.")(roots.rotate)
app.command(cls=Once, short_help="Make the trust root in which keys count for nothing.")(roots.revoke)
