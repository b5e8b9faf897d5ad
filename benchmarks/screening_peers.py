"""What it takes from PNG bytes to a score, edgemed beside what people use instead, in one run.

    python benchmarks/screening_peers.py WORK [--tflite-runtime PYTHON] [--openvino PYTHON] [--rounds 5] [--turns 200]

This environment needs the extras ``train`` and ``jetson``; each other one is named by its Python and needs OpenCV and
its library, that of tflite-runtime edgemed as well. One network, one picture of 1024 x 1024 pixels, one thread each;
rounds alternate between the screeners, so that a drift of the machine falls on all. All but edgemed decode, preprocess
and invoke only; edgemed verifies the signed bundle at its start, and judges modality, quality and distance besides.

Start is from the process's birth to its first score, memory the largest resident set; of times, p50 and p99 over all
rounds, and the processor's own time per picture, which other work on the machine does not lengthen.

Writes results/screening_peers.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import machine
import process

RESULTS = process.BENCHMARKS / "results"
NOT_MEASURED = {
    "anomalib OpenVINO inferencer": "it imports torch and torchvision, whose wheel asks for the registry's full build "
    "of torch with CUDA, several GB; the runtime it calls is measured as OpenVINO by hand",
    "Ultralytics classify predict": "it needs torch and torchvision, as above",
}


_ENOUGH = 1000  # samples for a 99th percentile


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One screener: the program that is timed, and the option that names its environment; None for this one."""

    name: str
    module: str
    environment: str | None = None
    with_edgemed: bool = False


PEERS = (
    Peer(name="edgemed, LiteRT", module="edgemed_litert", with_edgemed=True),
    Peer(name="LiteRT by hand", module="litert_loop"),
    Peer(
        name="edgemed, tflite-runtime", module="edgemed_tflite_runtime", environment="tflite_runtime", with_edgemed=True
    ),
    Peer(name="tflite-runtime by hand", module="tflite_runtime_loop", environment="tflite_runtime"),
    Peer(name="tf.lite of TensorFlow by hand", module="tensorflow_lite"),
    Peer(name="Keras predict, float32", module="keras_predict"),
    Peer(name="ONNX Runtime by hand, QDQ", module="onnxruntime_loop"),
    Peer(name="OpenVINO by hand, QDQ", module="openvino_loop", environment="openvino"),
)


@dataclass(kw_only=True)
class Taken:
    """What the rounds of one peer gave."""

    times_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    logit: float = float("nan")
    failure: str | None = None


def main() -> int:
    options = parse()
    work: Path = options.work
    if not (work / "model.json").is_file():
        process.run("screeners.prepare", (work, *options.weights), log=work / "prepare.txt")
    wall, children, everyone = time.perf_counter(), children_s(), machine.busy_s()
    taken = rounds(work, options)
    spent = machine.spent(
        wall_s=time.perf_counter() - wall, cpu_s=children_s() - children, busy_s=machine.busy_s() - everyone
    )
    document = {
        "machine": machine.described(("ai-edge-litert", "keras", "tensorflow-cpu", "onnxruntime")),
        "spent": spent,
        "model": json.loads((work / "model.json").read_text()),
        "rounds": options.rounds,
        "turns": options.turns,
        "peers": {name: summary(found) for name, found in taken.items()},
        "not_measured": {**NOT_MEASURED, **{name: found.failure for name, found in taken.items() if found.failure}},
    }
    RESULTS.joinpath("screening_peers.json").write_text(json.dumps(document, indent=1) + "\n")
    page = written(document)
    RESULTS.joinpath("screening_peers.md").write_text(page)
    print(page)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for the models; what is there is not made again")
    parser.add_argument("--tflite-runtime", type=Path, help="Python of its environment")
    parser.add_argument("--openvino", type=Path, help="Python of its environment")
    parser.add_argument("--weights", type=Path, nargs=1, default=(), help="ImageNet weights; default: random ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=200, help="pictures a round")
    return parser.parse_args()


def rounds(work: Path, options: argparse.Namespace) -> dict[str, Taken]:
    taken = {peer.name: Taken() for peer in PEERS}
    for _ in range(options.rounds):
        for peer in PEERS:
            if taken[peer.name].failure is None:
                once(peer, work, options, taken[peer.name])
    return taken


def once(peer: Peer, work: Path, options: argparse.Namespace, into: Taken) -> None:
    """Run one peer for one round."""
    python = sys.executable if peer.environment is None else getattr(options, peer.environment)
    if python is None:
        into.failure = f"no environment given (--{peer.environment.replace('_', '-')})" if peer.environment else None
        return
    paths = [str(process.BENCHMARKS), *([str(process.BENCHMARKS.parent)] if peer.with_edgemed else [])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_NUM_THREADS": "1",
    }
    words = [str(python), "-m", f"screeners.{peer.module}", str(work), str(options.turns), str(time.monotonic())]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        into.failure = (done.stderr.strip().splitlines() or ["no output"])[-1][:200]
        return
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    into.times_ms += answer["times_ms"]
    into.first_ms.append(answer["first_ms"])
    into.cpu_ms.append(answer["cpu_ms"])
    into.peak_mib.append(answer["peak_mib"])
    into.logit = answer["logit"]


def summary(found: Taken) -> dict[str, float | int | None] | None:
    if found.failure or not found.times_ms:
        return None
    return {
        "n": len(found.times_ms),
        "p50_ms": float(np.percentile(found.times_ms, 50)),
        "p99_ms": float(np.percentile(found.times_ms, 99)) if len(found.times_ms) >= _ENOUGH else None,
        "cpu_ms": float(np.median(found.cpu_ms)),
        "start_ms": float(np.median(found.first_ms)),
        "peak_mib": float(np.max(found.peak_mib)),
        "logit": found.logit,
    }


def written(document: dict[str, object]) -> str:
    """Return the page."""
    peers: dict[str, dict[str, float] | None] = document["peers"]  # type: ignore[assignment]
    ours = peers["edgemed, LiteRT"]
    lines = [
        "# Screening beside what people use instead",
        "",
        f"{machine.in_words(document['machine'])}. {document['rounds']} rounds of {document['turns']} pictures, one "
        f"thread, one network of {document['model']['parameters']} parameters at {document['model']['side']} px, "  # type: ignore[index]
        "a PNG of 1024 x 1024 pixels from bytes to score.",
        "",
        "| screener | p50 ms | p99 ms | processor ms | start to first score, ms | memory MiB | logit |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [row(name, found) for name, found in peers.items() if found is not None]
    lines += ["", "Times edgemed takes, over the other's:" if ours else ""]
    if ours:
        lines += [
            f"- {name}: processor {ours['cpu_ms'] / found['cpu_ms']:.2f}, "
            f"start {ours['start_ms'] / found['start_ms']:.2f}, memory {ours['peak_mib'] / found['peak_mib']:.2f}"
            for name, found in peers.items()
            if found is not None and found is not ours
        ]
    missing: dict[str, str] = document["not_measured"]  # type: ignore[assignment]
    lines += ["", "Not measured:", *(f"- {name}: {why}" for name, why in missing.items())]
    lines += [
        "",
        machine.SHARED if machine.shared({"rounds": document["spent"]}) else "The machine was otherwise idle.",
    ]
    return "\n".join(lines) + "\n"


def row(name: str, found: dict[str, float]) -> str:
    p99 = "-" if found["p99_ms"] is None else f"{found['p99_ms']:.2f}"
    return (
        f"| {name} | {found['p50_ms']:.2f} | {p99} | {found['cpu_ms']:.2f} | {found['start_ms']:.0f} | "
        f"{found['peak_mib']:.0f} | {found['logit']:.3f} |"
    )


def children_s() -> float:
    """Return the processor seconds of the processes that were started and waited for."""
    found = os.times()
    return found.children_user + found.children_system


if __name__ == "__main__":
    sys.exit(main())
