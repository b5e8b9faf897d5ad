"""``edgemed bundle wheelhouse``: what a device without a network needs."""

from __future__ import annotations

from pathlib import Path

import typer

from edgemed.cli import output
from edgemed.errors import ConfigError

__all__ = ["wheelhouse"]


def wheelhouse(
    *,
    target: str = typer.Option(..., metavar="ID", help="What the device is; see 'edgemed devices list'."),
    out: Path = typer.Option(..., help="Folder for the wheels and their list; an older one is completed."),
    python: str | None = typer.Option(
        None, metavar="3.X", help="Python on the device. Default: that of the vendor's system."
    ),
    arch: str | None = typer.Option(None, metavar="ARCH", help="Where the target has several: x86-64 or aarch64."),
    wheel: Path | None = typer.Option(
        None, metavar="FILE", help="edgemed's own wheel. Default: built from the checkout that is running."
    ),
    extra: list[str] = typer.Option(
        [], metavar="NAME", help="Extra of edgemed to collect as well, as encryption; may be repeated."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Collect the wheels that put edgemed onto a device offline, with pip and the package index it is set up for."""
    import tempfile

    from edgemed import targets
    from edgemed.device import wheelhouse as wheelhouses

    known = targets.load(target)
    version = python or known.python
    if version is None:
        raise ConfigError(f"--python: {target} has no Python of its own that is known here; name its version, as 3.11")
    if not version.startswith("3.") or not version[2:].isdigit() or int(version[2:]) < 10:
        raise ConfigError(f"--python: expected 3.10 or newer, as 3.11, got {version!r}")
    architecture = arch or (known.arch[0] if len(known.arch) == 1 else None)
    if architecture not in known.arch:
        raise ConfigError(f"--arch: expected one of {', '.join(known.arch)} for {target}, got {architecture!r}")
    with tempfile.TemporaryDirectory() as scratch:
        own = wheel or wheelhouses.own_wheel(Path(scratch))
        house = wheelhouses.collect(out, architecture=architecture, python=version, wheel=own, extras=extra)
    if json:
        output.print_json({"folder": out, "size_bytes": house.size_bytes, "wheelhouse": house})
        return
    rows = [(one.file, f"{one.size_bytes}", one.sha256[:16]) for one in house.wheels]
    output.table(("wheel", "bytes", "sha256"), rows)
    made = f"edgemed {house.runtime}, Python {house.python}, {house.architecture}"
    output.fields([("for", f"{target}: {made}"), ("size", f"{house.size_bytes} bytes"), ("written", str(out))])
