"""``edgemed device``: the store on this device, and what comes into it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgemed.cli import arguments, device_report, output
from edgemed.cli.arguments import Once

if TYPE_CHECKING:
    from edgemed.bundle.roles import Trust
    from edgemed.device.store import Store

__all__ = ["app"]

app = typer.Typer(help="Make this device's store, install bundles into it, and look at it.", no_args_is_help=True)

_JSON = typer.Option(False, "--json", help="Print one JSON document.")
_SHOWN_EVENTS = 20


@app.command(cls=Once)
def init(
    store: Path | None = arguments.OWN_STORE,
    target: str | None = typer.Option(
        None, metavar="ID", help="What this device is; see 'edgemed devices list'. Default: its generic target."
    ),
    trusted: list[Path] = typer.Option(
        [], "--trust", metavar="KEY", help="Public key whose bundles it takes, or a trust root. Default: the demo key."
    ),
    json: bool = _JSON,
) -> None:
    """Make a store: folders, this device's own keys, and whose bundles it takes. One that is there already is kept."""
    from edgemed import shipped, targets
    from edgemed.device import places, provision

    path = store or (places.default(targets.load(target).store.path) if target else places.found())
    made = provision.init(path, target=target, trust=_trust(trusted))
    keyids = [key.keyid for key in made.trust.root.every_key]
    result = "made" if made.is_new else "unchanged"
    if shipped.demo_key().keyid in keyids:
        output.note(
            "edgemed: this store takes bundles signed with the package's own demo key, which is for trying things out; "
            "name the keys of your product with --trust"
        )
    if json:
        output.print_json(
            {
                "result": result,
                "store": path,
                "target": made.store.target,
                "device": made.identity.device_id,
                "recipient": made.identity.recipient,
                "trusted": keyids,
            }
        )
        return
    lines = [("store", f"{path} ({result})"), ("target", made.store.target), ("device", made.identity.device_id)]
    public = ("public key", str(path / "identity" / "signing.pub"))
    output.fields([*lines, public, ("recipient", made.identity.recipient), *(("trusts", keyid) for keyid in keyids)])


@app.command(cls=Once)
def install(
    file: Path = typer.Argument(..., parser=arguments.path, metavar="FILE", help="Bundle file to install."),
    store: Path | None = arguments.OWN_STORE,
    tentative: int | None = typer.Option(
        None, min=1, max=1000, metavar="N", help="Back to the previous bundle after N starts, unless it is committed."
    ),
    strict_latency: bool = typer.Option(
        False, "--strict-latency", help="Refuse a bundle that exceeds the target's latency budget on this unit."
    ),
    json: bool = _JSON,
) -> None:
    """Check a bundle, run its health check here, and make it the active one. What fails leaves the old one active."""
    from edgemed.device import install as installs

    opened = _opened(store)
    done = installs.install(opened, file, tentative=tentative, strict_latency=strict_latency)
    device_report.show_installed(opened, done, json=json)


@app.command("import", cls=Once)
def import_folder(
    folder: Path = typer.Argument(
        ..., parser=arguments.path, metavar="DIR", help="Mounted stick or card that 'edgemed flash --to DIR' wrote."
    ),
    store: Path | None = arguments.OWN_STORE,
    json: bool = _JSON,
) -> None:
    """Install the newest bundle of a stick that is meant for this device, and leave an answer on the stick."""
    from edgemed.device import importing

    opened = _opened(store)
    done = importing.bring(opened, folder)
    for sentence in done.choice.passed_over:
        output.note(f"edgemed: passed over: {sentence}")
    if done.answer is None:
        output.note(f"edgemed: {done.choice.folder}: cannot be written, so no answer was left there")
    device_report.show_installed(opened, done.installed, json=json)


@app.command(cls=Once)
def status(store: Path | None = arguments.OWN_STORE, json: bool = _JSON) -> None:
    """Show what is active, what there is to go back to, and what is amiss."""
    from edgemed.device import answers, contents

    opened = _opened(store)
    found = contents.read(opened)
    device_report.warn(found.warnings)
    if json:
        output.print_json(answers.status(opened, found))
        return
    output.fields(device_report.lines(opened, found))


@app.command(cls=Once, hidden=True)
def receive(store: Path | None = arguments.OWN_STORE) -> None:
    """Answer 'edgemed flash': the status, then the install that is ordered on stdin."""
    import sys

    from edgemed.device import places
    from edgemed.device import receive as receiving

    receiving.receive(str(store or places.found()), sys.stdin.buffer, sys.stdout.buffer)


@app.command(cls=Once)
def commit(store: Path | None = arguments.OWN_STORE, json: bool = _JSON) -> None:
    """Keep a tentative bundle for good."""
    from edgemed.device import switch

    opened = _opened(store)
    device_report.show_active(opened, switch.commit(opened), json=json)


@app.command(cls=Once)
def rollback(store: Path | None = arguments.OWN_STORE, json: bool = _JSON) -> None:
    """Go back to the previous bundle; the floor of the release counter stays where it is."""
    from edgemed.device import switch

    opened = _opened(store)
    device_report.show_active(opened, switch.rollback(opened), json=json)


@app.command("trust", cls=Once)
def replace_root(
    root: Path = typer.Argument(..., parser=arguments.path, metavar="ROOT", help="Trust root of the next version."),
    store: Path | None = arguments.OWN_STORE,
    may_stop: bool = typer.Option(
        False,
        "--may-stop",
        help="Take it even where the active bundle is not trusted by it: nothing runs until another is.",
    ),
    json: bool = _JSON,
) -> None:
    """Replace the store's trust root by the next one, signed by enough keys of the old and of the new one."""
    from edgemed.device import authority

    newer = authority.replace_root(_opened(store), root, may_stop=may_stop).root
    if json:
        output.print_json({"root": newer})
    else:
        lines = [("root", f"version {newer.version}"), ("revocation", str(newer.revocation))]
        output.fields([*lines, *(("revoked", keyid) for keyid in newer.revoked)])


@app.command("overlay", cls=Once)
def add_overlay(
    overlay: Path = typer.Argument(..., parser=arguments.path, metavar="FILE", help="Decision overlay."),
    store: Path | None = arguments.OWN_STORE,
    json: bool = _JSON,
) -> None:
    """Put newer thresholds in force for the active bundle; 'edgemed bundle overlay' makes and signs them."""
    from edgemed.bundle.overlay import decision_version
    from edgemed.device import authority

    decided = authority.add_overlay(_opened(store), overlay)
    known = {"name": decided.manifest.name, "version": decided.manifest.version, "digest": decided.digest}
    if json:
        output.print_json({"bundle": {**known, "decision_version": decision_version(decided), "overlay": True}})
    else:
        output.fields([*known.items(), ("decision version", f"{decision_version(decided)}, by overlay")])


@app.command(cls=Once)
def history(store: Path | None = arguments.OWN_STORE, json: bool = _JSON) -> None:
    """List what was done to the store, newest last; times are what the device's clock said."""
    opened = _opened(store)
    state = opened.state()
    if json:
        output.print_json({"events": state.events, "history": state.history})
        return
    rows = [
        (str(one.number), one.at, one.event.value, f"{one.name} {one.version}", str(one.release), one.reason or "")
        for one in state.history[-_SHOWN_EVENTS:]
    ]
    if rows:
        output.table(("number", "clock", "event", "bundle", "release", "reason"), rows)
    output.note(f"{state.events} events in {opened.path}, {len(rows)} shown")


def _opened(path: Path | None) -> Store:
    """Return the store that was named, or the one of this device."""
    from edgemed.device import places
    from edgemed.device import store as stores

    return stores.open_store(path or places.found())


def _trust(paths: list[Path]) -> Trust | None:
    from edgemed.bundle import trusted

    return trusted.from_files(paths) if paths else None
