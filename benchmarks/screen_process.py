"""Time ``edgemed screen one.png`` and ``edgemed --help`` as whole processes against a bare script.

The bare script imports numpy, OpenCV and LiteRT, loads the same model and invokes it once: what no program that
screens can do without. Runs alternate, so that a drift of the machine falls on both; wall time is the median, memory
the largest resident set of one run.

    python benchmarks/screen_process.py [--runs 21] [--bundle chest-xray] [--image scan.png] [--trust KEY] [--json]

``--cpu`` compares CPU seconds instead of wall time, for a machine that others use as well. Typer's share is told apart:
what ``import typer`` adds to a Python that does nothing.

Limits: screen at most 1.6 times the wall time and 1.6 times the memory, --help at most the wall time. Exit 3 when one
is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BARE = """
import sys
import numpy as np, cv2
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
plane = interpreter.get_input_details()[0]
interpreter.set_tensor(plane["index"], np.zeros(plane["shape"], plane["dtype"]))
interpreter.invoke()
for output in interpreter.get_output_details():
    interpreter.get_tensor(output["index"])
"""
EDGEMED = "import sys; from edgemed.cli import main; sys.exit(main())"
LIMITS = {"screen wall": 1.6, "screen memory": 1.6, "screen table wall": 1.6, "help wall": 1.0}


@dataclass(frozen=True, kw_only=True)
class Run:
    """Wall time and largest resident set of one process."""

    wall_ms: float
    memory_mib: float


def main() -> int:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.tflite")
        image = options.image or sample(options.bundle)
        model.write_bytes(model_of(options.bundle, options.trust, environment(folder)))
        trust = [word for key in options.trust for word in ("--trust", str(key))]
        screen = ["screen", str(image), "--bundle", options.bundle, *trust]
        commands = {
            "bare": [sys.executable, "-c", BARE, str(model)],
            "screen": [sys.executable, "-c", EDGEMED, *screen, "--json"],
            "screen table": [sys.executable, "-c", EDGEMED, *screen],
            "python": [sys.executable, "-c", "pass"],
            "typer": [sys.executable, "-c", "import typer"],
            "help": [sys.executable, "-c", EDGEMED, "--help"],
        }
        runs = alternate(commands, options.runs, environment(folder), by_cpu=options.cpu)
    found = ratios(runs)
    report(runs, found, as_json=options.json)
    return 3 if any(found[name] > limit for name, limit in LIMITS.items()) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=21, help="of each process, after two to warm the file cache")
    parser.add_argument("--bundle", default="chest-xray", help="file, or name of a shipped bundle")
    parser.add_argument("--trust", type=Path, action="append", default=[], help="public key, for a file")
    parser.add_argument("--image", type=Path, help="default: the bundle's first sample image")
    parser.add_argument("--cpu", action="store_true", help="compare CPU seconds")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def sample(bundle: str) -> Path:
    from edgemed import shipped

    return next(sample.path for sample in shipped.samples() if sample.bundle == bundle)


def model_of(bundle: str, trust: list[Path], env: dict[str, str]) -> bytes:
    """Read the model in a process of its own: Linux counts the parent's memory at the start of a child."""
    program = (
        "import sys; from edgemed.bundle import keys, trust; from edgemed import shipped\n"
        "name, *paths = sys.argv[1:]\n"
        "path = shipped.bundle_path(name) if name in shipped.names() else name\n"
        "trusted = [keys.read_public(__import__('pathlib').Path(p)) for p in paths] or [shipped.demo_key()]\n"
        "bundle = trust.open_bundle(__import__('pathlib').Path(path), keys=trusted)\n"
        "sys.stdout.buffer.write(bundle.members['model/int8.tflite'])\n"
    )
    words = [sys.executable, "-c", program, bundle, *map(str, trust)]
    return subprocess.run(words, check=True, capture_output=True, env=env).stdout


def environment(bytecode: str) -> dict[str, str]:
    """Let the children find the package of this checkout, and keep bytecode as an installed package does."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": paths, "PYTHONPYCACHEPREFIX": bytecode}


def alternate(commands: dict[str, list[str]], count: int, env: dict[str, str], *, by_cpu: bool) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(count + 2):
        for name, words in commands.items():
            run = timed(words, env, by_cpu=by_cpu)
            if turn >= 2:
                runs[name].append(run)
    return runs


def timed(words: list[str], env: dict[str, str], *, by_cpu: bool) -> Run:
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    _, status, usage = os.wait4(process.pid, 0)
    wall = usage.ru_utime + usage.ru_stime if by_cpu else time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    # 8: the sample was refused; the process did the same work.
    if process.returncode not in (0, 8):
        raise SystemExit(f"exit {process.returncode}: {' '.join(words)}")
    return Run(wall_ms=wall * 1e3, memory_mib=usage.ru_maxrss / 1024)


def ratios(runs: dict[str, list[Run]]) -> dict[str, float]:
    wall = {name: statistics.median(run.wall_ms for run in of) for name, of in runs.items()}
    memory = {name: max(run.memory_mib for run in of) for name, of in runs.items()}
    found = {f"{name} wall": wall[name] / wall["bare"] for name in runs if name != "bare"}
    found["screen wall without Typer"] = (wall["screen"] - wall["typer"] + wall["python"]) / wall["bare"]
    return found | {"screen memory": memory["screen"] / memory["bare"]}


def report(runs: dict[str, list[Run]], found: dict[str, float], *, as_json: bool) -> None:
    if as_json:
        raw = {name: [[run.wall_ms, run.memory_mib] for run in of] for name, of in runs.items()}
        print(json.dumps({"schema_version": 1, "runs": raw, "ratios": found, "limits": LIMITS}, indent=2))
        return
    for name, of in runs.items():
        walls = sorted(run.wall_ms for run in of)
        memory = max(run.memory_mib for run in of)
        print(
            f"{name:13} {statistics.median(walls):7.1f} ms (min {walls[0]:.1f}, max {walls[-1]:.1f}), {memory:6.1f} MiB"
        )
    name = "screen wall without Typer"
    print(f"{name:18} {found[name]:.3f} of the bare script")
    for name, limit in LIMITS.items():
        verdict = "met" if found[name] <= limit else "MISSED"
        print(f"{name:18} {found[name]:.3f} of the bare script, limit {limit}: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
