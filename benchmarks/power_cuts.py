"""Count the power cuts that the device store is held against, and kill real installs at random moments.

First every case of `tests/device/test_power.py`: the disk in memory remembers each step, and every state that a cut
after it may leave is opened, and made good, and cut again meanwhile. Then ``edgemed device install`` as a process, with
its real health check, killed by SIGKILL after a random time; the store must open with the old release or the new one.

    python benchmarks/power_cuts.py [--kills 40] [--seed 1] [--out benchmarks/results/power_cuts]

Exit 3 when a single cut or kill leaves anything else.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from edgemed.device import contents, install, provision  # noqa: E402 - from the checkout beside this file
from edgemed.device import store as stores  # noqa: E402
from tests.cli import test_device  # noqa: E402
from tests.device import made, test_power  # noqa: E402

EDGEMED = "import sys; from edgemed.cli import main; sys.exit(main())"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cases = {name: counted(name) for name in test_power.CASES}
    kills = killed(options.kills, random.Random(options.seed))
    result = {"cases": cases, "kills": kills, "seed": options.seed}
    lines = written(cases, kills)
    print("\n".join(lines))
    if options.out is not None:
        options.out.with_suffix(".json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
        options.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
    failures = sum(case["failures"] for case in cases.values()) + kills["failures"]
    return 3 if failures else 0


def counted(name: str) -> dict[str, int]:
    """Return how many cuts a case has and how many of them leave what they must not."""
    with tempfile.TemporaryDirectory() as folder:
        return test_power.count(name, Path(folder, "store"))


def killed(times: int, choose: random.Random) -> dict[str, int]:
    """Return how the store stood after each kill: on the old release, on the new one, or not as it must."""
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(times):
            place = Path(folder, str(number))
            place.mkdir()
            outcomes[one_kill(place, choose.random())] += 1
    return {name: outcomes[name] for name in ("old", "new", "failures")}


def one_kill(place: Path, share: float) -> str:
    """Kill one install after a share of the time that an undisturbed one took just before; say what the store shows."""
    for release in (1, 2):
        (place / f"{release}.edgemed").write_bytes(test_device.bundle(release))
    took_s = 0.0
    for name in ("timed", "killed"):
        store = provision.init(place / name, target=made.TARGET, trust=made.TRUST).store
        install.install(store, place / "1.edgemed", check=made.healthy)
        words = ["device", "install", str(place / "2.edgemed"), "--store", str(store.path)]
        start = time.perf_counter()
        with subprocess.Popen([sys.executable, "-c", EDGEMED, *words], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            if name == "killed":
                time.sleep(share * took_s * 1.2)
                process.kill()
            process.wait()
        took_s = time.perf_counter() - start
    found = contents.read(stores.open_store(place / "killed"))
    release = None if found.active is None else found.active.bundle.manifest.release
    return "failures" if found.warnings else {1: "old", 2: "new"}.get(release, "failures")


def written(cases: dict[str, dict[str, int]], kills: dict[str, int]) -> list[str]:
    """Return the page of results."""
    total = Counter[str]()
    for case in cases.values():
        total.update(case)
    rows = [
        f"| {name} | {c['steps']} | {c['cuts']} | {c['cuts_again']} | {c['failures']} |" for name, c in cases.items()
    ]
    return [
        "# Power cuts",
        "",
        "Every state that a cut after any step may leave, with what was not synced lost, kept or garbled; and every",
        "state that a second cut leaves while the work is done again. A failure is a store that opens with anything",
        "but the old bundle or the new one, whole.",
        "",
        "| work on the store | steps | cuts | second cuts | failures |",
        "|---|---|---|---|---|",
        *rows,
        f"| all | {total['steps']} | {total['cuts']} | {total['cuts_again']} | {total['failures']} |",
        "",
        f"Real installs ended by SIGKILL at random moments: {sum(kills.values())}; {kills['old']} left the old bundle, "
        f"{kills['new']} the new one, {kills['failures']} anything else.",
    ]


if __name__ == "__main__":
    sys.exit(main())
