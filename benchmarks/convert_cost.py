"""What ``edgemed convert`` of a trained run costs: minutes and the largest resident set of the process.

The run's recipe is taken as it is, but for the number of quantized epochs. The command's own progress goes to stderr.

    python benchmarks/convert_cost.py RUN --work WORK [--epochs 3] [--target generic-x86-64] [--results FOLDER]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import kept
import machine

EDGEMED = "import sys; from edgemed.cli import main; sys.exit(main())"


def main() -> int:
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    recipe = options.work / "recipe.yaml"
    name = write_recipe(options.run, recipe, epochs=options.epochs)
    words = ["convert", str(options.run), "--target", options.target, "--out", str(options.work / "artifact")]
    steps, peak_mib = timed([*words, "--recipe", str(recipe)])
    document = {
        "schema": 1,
        "machine": machine.described(("keras", "tensorflow-cpu", "numpy")),
        "recipe": name,
        "qat_epochs": options.epochs,
        "target": options.target,
        "steps": steps,
        "peak_mib": peak_mib,
    }
    text = markdown(document)
    kept.write_json(options.results / "convert_cost.json", document)
    kept.write_bytes(options.results / "convert_cost.md", text.encode())
    print(text)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of 'edgemed train'")
    parser.add_argument("--work", type=Path, required=True, help="takes the artifact")
    parser.add_argument("--epochs", type=int, default=3, help="of quantization-aware training")
    parser.add_argument("--target", default="generic-x86-64")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def write_recipe(run: Path, path: Path, *, epochs: int) -> str:
    """Write the run's recipe with another number of quantized epochs; return its name."""
    import yaml

    recipe: dict[str, Any] = kept.read_json(run / "run.json")["recipe"]
    recipe["quantization"]["epochs"] = epochs
    # Not as JSON: YAML reads 3e-05 as a word.
    kept.write_bytes(path, yaml.safe_dump(recipe, sort_keys=False).encode())
    return str(recipe["name"])


def timed(words: list[str]) -> tuple[dict[str, dict[str, float]], float]:
    """Run the command and return its seconds and its largest resident set, MiB; stop when it fails."""
    start, busy = time.perf_counter(), machine.busy_s()
    process = subprocess.Popen([sys.executable, "-c", EDGEMED, *words], stdout=subprocess.DEVNULL)
    # ru_maxrss of a child starts at its parent's size: this process stays small, it imports no TensorFlow.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit {process.returncode}: edgemed {' '.join(words)}")
    cost = machine.spent(
        wall_s=time.perf_counter() - start,
        cpu_s=usage.ru_utime + usage.ru_stime,
        busy_s=machine.busy_s() - busy,
    )
    return {"convert": cost}, round(usage.ru_maxrss / 1024, 1)


def markdown(document: dict[str, Any]) -> str:
    cost = document["steps"]["convert"]
    shared = f" {machine.SHARED}" if machine.shared(document["steps"]) else ""
    return (
        "\n\n".join(
            [
                f"# Cost of converting {document['recipe']}",
                f"`edgemed convert` to {document['target']} with {document['qat_epochs']} epochs of quantization-aware "
                f"training, everything included: {cost['wall_s'] / 60:.1f} minutes of wall time, "
                f"{cost['cpu_s'] / 60:.1f} CPU minutes, {document['peak_mib']:.0f} MiB at most.",
                f"Machine: {machine.in_words(document['machine'])}.{shared}",
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
