"""``edgemed bundle diff``: what changed between two bundles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgemed.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgemed.bundle.difference import Change
    from edgemed.bundle.trust import Inspection

__all__ = ["diff"]


def diff(
    before: str = typer.Argument(..., metavar="BEFORE", help="Bundle file, or the name of a shipped one."),
    after: str = typer.Argument(..., metavar="AFTER", help="Bundle to compare with it."),
    *,
    trusted: list[Path] = typer.Option(
        [], "--trust", metavar="KEY|ROOT", help="Public key to check both with, may be repeated; or one trust root."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Say in words what changed: model, preprocessing, thresholds, figures, tolerance, targets, signers.

    Altered bundles are refused. Bundles that nobody known has signed are compared, and marked so.
    """
    from edgemed.bundle import difference, trust
    from edgemed.cli.bundle import located

    shown = []
    for named in (before, after):
        path, root = located(named, trusted)
        shown.append(trust.inspect_file(path, trust=root))
    changes = difference.compare(shown[0], shown[1])
    same = [section for section in difference.SECTIONS if not any(change.section == section for change in changes)]
    if json:
        sides = {name: _side(one) for name, one in zip(("before", "after"), shown, strict=True)}
        output.print_json({**sides, "changes": list(changes), "same": same})
        return
    for name, one in zip(("before", "after"), shown, strict=True):
        mark = "" if one.trusted else "  (no key you trust has signed it)"
        sys.stdout.write(output.printable(f"{name:<6}  {_title(one)}  {one.digest}{mark}") + "\n")
    _print(changes, same)


def _title(shown: Inspection) -> str:
    manifest = shown.manifest
    return f"{manifest.name} {manifest.version}, release {manifest.release}"


def _side(shown: Inspection) -> dict[str, Any]:
    manifest = shown.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "release": manifest.release,
        "digest": shown.digest,
        "verified": shown.trusted,
    }


def _print(changes: Sequence[Change], same: Sequence[str]) -> None:
    """Write each section with its changes, old and new value on a line of their own where they are long."""
    section = ""
    for change in changes:
        if change.section != section:
            section = change.section
            sys.stdout.write(f"\n{section}\n")
        for line in _lines(change):
            sys.stdout.write(f"  {output.printable(line)}\n")
    sys.stdout.write(f"\nthe same: {', '.join(same) or 'nothing'}\n")


_WIDE = 60  # characters of both values together that still fit beside their name


def _lines(change: Change) -> list[str]:
    note = f"  ({change.note})" if change.note else ""
    if change.before is None:
        return [f"{change.what}: added {_shown(change.after)}{note}"]
    if change.after is None:
        return [f"{change.what}: removed {_shown(change.before)}{note}"]
    old, new = _shown(change.before), _shown(change.after)
    if len(old) + len(new) <= _WIDE:
        return [f"{change.what}: {old} -> {new}{note}"]
    return [f"{change.what}:{note}", f"  - {old}", f"  + {new}"]


def _shown(value: Any) -> str:
    """Return a value as people read it: six digits, digests cut to their first twelve."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return value[:19] if value.startswith("sha256:") else value
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value)
