"""Roll a release out to a fleet on loopback: one sshd, a store for each device, a tenth of them faulty.

Three roll-outs with ``edgemed flash --inventory``, as a user runs it:

1. a bad release, rightly signed, whose golden vectors no device reproduces: the canary stops it;
2. a good release: the faulty devices are reported, the others run it;
3. the same with ``--resume`` after the faulty ones were repaired: only they are asked.

    python benchmarks/fleet.py [--devices 50] [--parallel 4] [--json]

Exit 3 when a roll-out ends in another way. The faults, in turn: nobody listens at the port, no store, a store for
another target, a host key that is not known, a store that a newer edgemed made.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import loopback
import machine
from edgemed import targets
from loopback import Server
from tests.device import sshd

CANARIES = 2


def main() -> int:
    parser = argparse.ArgumentParser(description="Roll a release out to a fleet on loopback.")
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, loopback.server(Path(name)) as server:
        found = _measured(Path(name), server, options.devices, options.parallel)
    print(json.dumps(found, indent=2) if options.json else _in_words(found))
    return 0 if all(found["holds"].values()) else 3


def _measured(folder: Path, server: Server, devices: int, parallel: int) -> dict[str, Any]:
    bad, good, key = loopback.releases(folder)
    with sshd.Wire(server.port, limit_bytes=None) as unknown:
        fleet = Fleet(folder, server, key, devices, unknown.port)
        rolled = {
            "bad release": fleet.roll_out(bad, parallel),
            "good release": fleet.roll_out(good, parallel),
        }
        fleet.repair()
        rolled["resumed"] = fleet.roll_out(good, parallel, "--resume")
    faulty = len(fleet.faulty)
    return {
        "machine": machine.described(("asyncssh", "ai-edge-litert")),
        "devices": devices,
        "faulty": faulty,
        "parallel": parallel,
        "canaries": CANARIES,
        "roll_outs": rolled,
        "holds": {
            "canary stops the bad release": rolled["bad release"]["exit_code"] == 3
            and rolled["bad release"]["untouched"] == devices - CANARIES
            and rolled["bad release"]["succeeded"] == 0,
            "faulty devices are reported, the rest are flashed": rolled["good release"]["failed"] == faulty
            and rolled["good release"]["succeeded"] == devices - faulty,
            "resumption asks the repaired ones alone": rolled["resumed"]["exit_code"] == 0
            and rolled["resumed"]["asked"] == faulty,
        },
    }


class Fleet:
    """The stores and the inventory."""

    def __init__(self, folder: Path, server: Server, key: Path, devices: int, unknown_port: int) -> None:
        self.folder, self.server, self.key = folder, server, key
        # A tenth, spread over the fleet behind the canaries.
        self.faulty = list(range(CANARIES + 3, devices, 10))[: devices // 10]
        self.ports = dict.fromkeys(range(devices), server.port)
        faults: list[Callable[[Path], object]] = [
            self._store,
            lambda _: None,
            lambda path: loopback.store(path, target="raspberry-pi-4", trusted=(self.key,)),
            self._store,
            self._newer,
        ]
        for number in range(devices):
            turn = self.faulty.index(number) % len(faults) if number in self.faulty else None
            (self._store if turn is None else faults[turn])(self._path(number))
            if turn in (0, 3):
                self.ports[number] = sshd.free_port() if turn == 0 else unknown_port
        self._write()

    def repair(self) -> None:
        """Give every faulty device what it lacks."""
        for number in self.faulty:
            shutil.rmtree(self._path(number), ignore_errors=True)
            self._store(self._path(number))
            self.ports[number] = self.server.port
        self._write()

    def roll_out(self, bundle: Path, parallel: int, *more: str) -> dict[str, Any]:
        """Flash the inventory and return the figures; what failed is in them."""
        way = ["--known-hosts", str(self.server.known_hosts), "--identity", str(self.server.identity)]
        words = ["flash", str(bundle), "--inventory", str(self._inventory), *way, "--parallel", str(parallel)]
        before = time.monotonic()
        done = loopback.edgemed(*words, "--canary", str(CANARIES), *more, "--json", expected=(0, 3, 6))
        found = loopback.document(done)
        asked = sum(1 for line in done.stderr.splitlines() if " after " in line)
        return {
            "exit_code": done.returncode,
            "wall_s": round(time.monotonic() - before, 1),
            "asked": asked,
            **{name: found[name] for name in ("succeeded", "failed", "untouched", "stopped")},
            "errors": [one["error"] for one in found["outcomes"] if one["error"]],
        }

    @property
    def _inventory(self) -> Path:
        return self.folder / "fleet.yaml"

    def _path(self, number: int) -> Path:
        return self.folder / "stores" / f"{number:03}"

    def _store(self, path: Path) -> None:
        loopback.store(path, trusted=(self.key,))

    def _newer(self, path: Path) -> None:
        self._store(path)
        (path / "format.json").write_text('{"schema":2}', "utf-8")

    def _write(self) -> None:
        entries = (
            f"  - {{name: unit-{number:03}, device: {targets.generic_id()}, "
            f"to: '{self.server.url(self._path(number), port=port)}'}}\n"
            for number, port in self.ports.items()
        )
        self._inventory.write_text("schema: 1\ndevices:\n" + "".join(entries), "utf-8")


def _in_words(found: dict[str, Any]) -> str:
    lines = [
        machine.in_words(found["machine"]),
        f"{found['devices']} devices, {found['faulty']} of them faulty, {found['canaries']} canaries, "
        f"{found['parallel']} at a time",
    ]
    for name, one in found["roll_outs"].items():
        lines.append(
            f"{name}: {one['succeeded']} run it, {one['failed']} failed, {one['untouched']} untouched, "
            f"{one['asked']} asked, {one['wall_s']} s, exit {one['exit_code']}"
        )
        lines += [f"    {error}" for error in one["errors"]]
    lines += [f"{'holds' if holds else 'DOES NOT HOLD'}: {what}" for what, holds in found["holds"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
