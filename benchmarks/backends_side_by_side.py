"""The bare inference of the shipped models: LiteRT against tflite-runtime, one thread, rounds in turn.

    python benchmarks/backends_side_by_side.py --tflite-runtime PYTHON [--rounds 5] [--turns 200]

This environment has LiteRT; PYTHON is of one with the extra ``tflite``. A zero plane: int8 kernels take the same time
whatever they multiply. Prints a table: p50 and p99 on the wall, and the processor's own time, which other work on the
machine does not lengthen. Writes results/backends_side_by_side.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import machine
import process

_WARM_UP = 20
_ENOUGH = 1000  # samples for a 99th percentile


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tflite-runtime", type=Path, required=True, help="Python of its environment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=200)
    options = parser.parse_args()
    sides = {"litert": Path(sys.executable), "tflite-runtime": options.tflite_runtime}
    wall, children, everyone = time.perf_counter(), os.times(), machine.busy_s()
    taken: dict[tuple[str, str], list[dict[str, list[float]]]] = {}
    for _ in range(options.rounds):
        for backend, python in sides.items():
            for model, found in measured(python, backend, options.turns).items():
                taken.setdefault((model, backend), []).append(found)
    now = os.times()
    used = now.children_user + now.children_system - children.children_user - children.children_system
    spent = machine.spent(wall_s=time.perf_counter() - wall, cpu_s=used, busy_s=machine.busy_s() - everyone)
    page = written(taken, is_shared=machine.shared({"rounds": spent}))
    process.BENCHMARKS.joinpath("results", "backends_side_by_side.md").write_text(page)
    print(page)
    return 0


def measured(python: Path, backend: str, turns: int) -> dict[str, dict[str, list[float]]]:
    """Return the times of every shipped model, from a process of another environment."""
    paths = (process.BENCHMARKS, process.BENCHMARKS.parent)
    program = f"import backends_side_by_side as b; b.child({backend!r}, {turns})"
    done = subprocess.run(
        [str(python), "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, dict[str, list[float]]] = json.loads(done.stdout)
    return found


def child(backend: str, turns: int) -> None:
    """Print the times of every shipped model on one back end."""
    from edgemed import shipped
    from edgemed.bundle import trust
    from edgemed.runtime import backends

    times = {}
    for name in shipped.names():
        bundle = trust.open_bundle(shipped.bundle_path(name), keys=[shipped.demo_key()])
        interpreter = backends.load(bundle.members["model/int8.tflite"], backend=backend)
        tensors = {key: np.zeros(spec.shape, np.int8) for key, spec in interpreter.inputs.items()}
        for _ in range(_WARM_UP):
            interpreter.invoke(tensors)
        walls, own = [], time.process_time()
        for _ in range(turns):
            start = time.perf_counter()
            interpreter.invoke(tensors)
            walls.append(1e3 * (time.perf_counter() - start))
        times[name] = {"wall_ms": walls, "cpu_ms": [1e3 * (time.process_time() - own) / turns]}
    print(json.dumps(times))


def written(taken: dict[tuple[str, str], list[dict[str, list[float]]]], *, is_shared: bool) -> str:
    lines = [
        "# LiteRT and tflite-runtime on the shipped models",
        "",
        f"{machine.in_words(machine.described(('ai-edge-litert',)))}; tflite-runtime 2.14.0. One thread, bare invoke.",
        "",
        "| model | back end | n | p50 ms | p99 ms | processor ms |",
        "|---|---|---|---|---|---|",
    ]
    for (model, backend), rounds in sorted(taken.items()):
        walls = [value for found in rounds for value in found["wall_ms"]]
        cpu = float(np.median([found["cpu_ms"][0] for found in rounds]))
        p99 = f"{np.percentile(walls, 99):.2f}" if len(walls) >= _ENOUGH else "-"
        lines.append(f"| {model} | {backend} | {len(walls)} | {np.median(walls):.2f} | {p99} | {cpu:.2f} |")
    note = machine.SHARED if is_shared else "The machine was otherwise idle."
    return "\n".join([*lines, "", note]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
