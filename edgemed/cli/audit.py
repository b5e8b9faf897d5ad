"""``edgemed audit``: the audit log of this device, checked and taken along."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgemed.cli import arguments, output
from edgemed.cli.arguments import Once
from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgemed.records.reading import Whole

__all__ = ["app"]

app = typer.Typer(help="Check the audit log of this device, and take it along.", no_args_is_help=True)

_LOG = typer.Option(None, "--log", parser=arguments.path, metavar="DIR", help="Folder of an exported log, with --key.")
_KEY = typer.Option(
    None, "--key", parser=arguments.path, metavar="PUB", help="Public key of the device that wrote the exported log."
)
_KNOWN = typer.Option(
    [], "--known", parser=arguments.path, metavar="HEAD", help="Head that was exported earlier; may be repeated."
)
_JSON = typer.Option(False, "--json", help="Print one JSON document.")


@app.command(cls=Once)
def verify(
    store: Path | None = arguments.OWN_STORE,
    log: Path | None = _LOG,
    key: Path | None = _KEY,
    known: list[Path] = _KNOWN,
    json: bool = _JSON,
) -> None:
    """Check that no entry was changed, moved, added, taken out or cut off. Exit code 5 where one was.

    A log that was put back to an earlier state, head and all, shows only against a head that was exported since.
    """
    folder = _folder(store, log, key)
    whole = _read(folder, store, key, known)
    found = whole.verified
    if json:
        output.print_json(
            {
                "verified": True,
                "log": folder,
                "first": found.first,
                "last": found.last,
                "digest": found.digest,
                "unsealed": found.unsealed,
                "torn_bytes": whole.torn_bytes,
            }
        )
        return
    output.fields(
        [
            ("verified", str(folder)),
            ("entries", f"{found.first} to {found.last}" if whole.lines else "none yet"),
            ("digest", found.digest),
        ]
    )
    if found.unsealed:
        output.note(f"edgemed: {found.unsealed} entries stand behind the signed head; a power cut leaves such")
    if whole.torn_bytes:
        output.note(f"edgemed: a last line is torn ({whole.torn_bytes} bytes); a power cut leaves such")


@app.command(cls=Once)
def export(
    store: Path | None = arguments.OWN_STORE,
    out: Path | None = typer.Option(
        None, "--out", parser=arguments.path, metavar="DIR", help="Write log, head and public key into a new folder."
    ),
    json: bool = _JSON,
) -> None:
    """Write the entries to stdout as JSON Lines, or into a folder that 'audit verify --log' checks anywhere.

    Only a log that verifies is exported. Keep head.dsse elsewhere: it shows later whether the log was put back.
    """
    from edgemed.records import export as exports

    folder = _folder(store, None, None)
    whole = _read(folder, store, None, [])
    if out is not None:
        exports.write(whole, out, public=_home(store) / "identity" / "signing.pub")
        output.note(f"edgemed: {len(whole.lines)} entries are in {out}")
    if json:
        output.print_json(exports.document(whole))
    elif out is None:
        for line in whole.lines:
            sys.stdout.write(line.decode() + "\n")


def _home(store: Path | None) -> Path:
    from edgemed.device import places as stores

    return store or stores.found()


def _folder(store: Path | None, log: Path | None, key: Path | None) -> Path:
    from edgemed.records import places

    if log is None:
        if key is not None:
            raise ConfigError("--key: is of use with --log alone; a store has its device's key")
        return _home(store) / places.AUDIT
    if store is not None:
        raise ConfigError("--store: is of no use with --log; give one of the two")
    if key is None:
        raise ConfigError("--log: expected --key with the public key of the device that wrote the log, got none")
    return log


def _read(folder: Path, store: Path | None, key: Path | None, known: Sequence[Path]) -> Whole:
    """Return the log, verified."""
    from edgemed import files
    from edgemed.bundle import keys
    from edgemed.records import audit, reading

    public = keys.read_public(key or _home(store) / "identity" / "signing.pub")
    heads = []
    for path in known:
        raw = files.read_bounded(path, limit_bytes=audit.HEAD_LIMIT_BYTES, error=ConfigError)
        heads.append(audit.open_head(raw, keys=[public], source=str(path)))
    return reading.read(folder, keys=[public], known=heads)
