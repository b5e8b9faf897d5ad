"""Time ``edgemed flash`` of the shipped bundle against scp of it plus a bare load-and-invoke, as whole processes.

End to end: from the start of the command to its end, with the device's own checks, its health check (golden vectors,
latencies) and the commit. The bare side copies the same file with scp to the same OpenSSH server on loopback, then
imports numpy, OpenCV and LiteRT, loads the model and invokes it once. The two alternate, each flash into a store of its
own that was made before, so that a drift of the machine falls on both.

    python benchmarks/flash_time.py [--runs 11] [--json]

Limit: the median of the ratios at most 2.0. Exit 3 when it is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import loopback
import machine
from edgemed import shipped, targets
from edgemed.bundle import models, trust
from loopback import Server
from screen_process import BARE
from tests.device import sshd

LIMIT = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description="Time edgemed flash against scp and a bare load-and-invoke.")
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, loopback.server(Path(name)) as server:
        found = _measured(Path(name), server, options.runs)
    print(json.dumps(found, indent=2) if options.json else _in_words(found))
    return 0 if found["holds"] else 3


def _measured(folder: Path, server: Server, runs: int) -> dict[str, Any]:
    bundle = shipped.bundle_path(loopback.NAME)
    model = folder / "model.tflite"
    model.write_bytes(trust.open_bundle(bundle, keys=[shipped.demo_key()]).members[models.INT8])
    (folder / "copied").mkdir()
    rows = []
    for number in range(runs + 1):
        store = loopback.store(folder / "stores" / str(number))
        before = machine.busy_s(), time.perf_counter()
        scp, scp_cpu = _timed(_scp(server, bundle, folder / "copied" / str(number)))
        bare, bare_cpu = _timed([sys.executable, "-c", BARE, str(model)])
        flash, flash_cpu = _timed(_flash(server, bundle, store))
        busy, wall = machine.busy_s() - before[0], time.perf_counter() - before[1]
        if number:  # the first fills the caches of both
            rows.append(
                {
                    "scp_s": scp,
                    "bare_s": bare,
                    "flash_s": flash,
                    "ratio": flash / (scp + bare),
                    "others": max(0.0, busy - scp_cpu - bare_cpu - flash_cpu) / wall / (os.cpu_count() or 1),
                }
            )
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    return {
        "machine": machine.described(("asyncssh", "ai-edge-litert", "opencv-python-headless")),
        "bundle_bytes": bundle.stat().st_size,
        "runs": runs,
        "limit": LIMIT,
        "median": medians,
        "best": {name: min(row[name] for row in rows) for name in ("scp_s", "bare_s", "flash_s", "ratio")},
        "rows": rows,
        "holds": medians["ratio"] <= LIMIT,
    }


def _scp(server: Server, bundle: Path, to: Path) -> list[str]:
    way = ["-q", "-P", str(server.port), "-i", str(server.identity), "-o", f"UserKnownHostsFile={server.known_hosts}"]
    return ["scp", *way, "-o", "BatchMode=yes", str(bundle), f"{server.user}@{sshd.HOST}:{to}"]


def _flash(server: Server, bundle: Path, store: Path) -> list[str]:
    way = ["--known-hosts", str(server.known_hosts), "--identity", str(server.identity)]
    to = ["--device", targets.generic_id(), "--to", server.url(store)]
    return [*loopback.EDGEMED, "flash", str(bundle), *to, *way, "--json"]


def _timed(line: list[str]) -> tuple[float, float]:
    """Return wall seconds, and CPU seconds of this side; what the server's processes take is the wall's."""
    used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(line, capture_output=True, text=True, env=loopback.ENVIRONMENT, check=False)
    wall = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}: exit {done.returncode}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def _in_words(found: dict[str, Any]) -> str:
    median, best = found["median"], found["best"]
    verdict = "holds" if found["holds"] else "DOES NOT HOLD"
    return "\n".join(
        (
            machine.in_words(found["machine"]),
            f"bundle of {found['bundle_bytes']} bytes, {found['runs']} alternating runs after one for the caches",
            *(
                f"{name}: median {median[f'{name}_s']:.3f} s, best {best[f'{name}_s']:.3f} s"
                for name in ("scp", "bare", "flash")
            ),
            f"flash / (scp + bare): median {median['ratio']:.2f}, best {best['ratio']:.2f}, limit {found['limit']:g}",
            f"share of the cores that others used: {median['others']:.0%}",
            f"{verdict}: at most {found['limit']:g} times",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
