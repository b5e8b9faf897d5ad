"""Our quantization-aware training beside TFMOT, the TFLite converter's PTQ and ai-edge-quantizer, on one network.

Same architecture, data, seed and epochs; every method in a process of its own, in its own environment; every model
answers the same validation images by the same code. Stages are kept in the work folder: a second call only repeats
what is missing, a removed folder ``seed-S/METHOD`` is made again.

    python benchmarks/quantization_peers.py --work WORK --data chest_xray_224 --pretrained mobilenet_v2.weights.h5
        --tfmot-python ENV/bin/python --aeq-python ENV/bin/python [--seeds 17 18] [--results benchmarks/results]

The environments: ``pip install tensorflow-model-optimization==0.8.1 tf_keras tensorflow-cpu``, and ``pip install
ai-edge-quantizer``. A method without one is listed as not measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import kept
import process
from peers import document, exchange, stages, table
from peers.methods import METHODS


def main() -> int:
    options = parse()
    prepare(options)
    missing: dict[str, str] = {}
    for seed in options.seeds:
        stages.train_float(options.work, seed, options.pretrained)
        for method in METHODS:
            python = None if method.environment is None else getattr(options, method.environment)
            reason = stages.make(method, options.work, seed, python)
            if reason is not None:
                missing[f"{method.label}, seed {seed}"] = reason
    report(options, missing)
    return 0


def prepare(options: argparse.Namespace) -> None:
    """Write the settings and the planes, or stop where the folder holds a run of other settings."""
    options.work.mkdir(parents=True, exist_ok=True)
    names = [field.name for field in dataclasses.fields(exchange.Settings)]
    asked = exchange.Settings(**{name: getattr(options, name) for name in names})
    if not (options.work / "settings.json").is_file():
        kept.write_json(options.work / "settings.json", dataclasses.asdict(asked))
    elif (before := exchange.settings(options.work)) != asked:
        raise SystemExit(f"--work: holds a run with other settings: {before}; asked {asked}; name another folder")
    if not (options.work / "data.npz").is_file():
        process.run("peers.prepare_data", (options.work, options.data), log=options.work / "data.txt")


def report(options: argparse.Namespace, missing: dict[str, str]) -> None:
    found = document.of(options.work, tuple(options.seeds), missing)
    text = table.markdown(found)
    options.results.mkdir(parents=True, exist_ok=True)
    kept.write_json(options.results / "quantization_peers.json", found)
    (options.results / "quantization_peers.md").write_text(text)
    print(json.dumps(found, indent=2) if options.json else text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the stages, about 200 MB a seed")
    parser.add_argument("--data", type=Path, required=True, help="folder chest_xray_224")
    parser.add_argument("--pretrained", type=Path, required=True, help="Keras weights of MobileNetV2 1.0, no top")
    parser.add_argument("--tfmot-python", type=Path, help="Python with TFMOT, tf_keras and TensorFlow")
    parser.add_argument("--aeq-python", type=Path, help="Python with ai-edge-quantizer")
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    parser.add_argument("--side", type=int, default=96, help="pixels")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--float-epochs", type=int, default=4)
    parser.add_argument("--qat-epochs", type=int, default=2)
    parser.add_argument("--qat-learning-rate", type=float, default=3e-5)
    parser.add_argument("--calibration", type=int, default=512, help="train images")
    parser.add_argument("--validation-fraction", type=float, default=0.25, help="of the train folder's patients")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--json", action="store_true", help="print the document instead of the table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
