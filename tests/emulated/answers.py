"""What one machine makes of the same pictures: run here and on the emulated device, and compared.

    python tests/emulated/answers.py > answers.json

For each shipped bundle and picture: the digest of the input plane, the logit in int8 steps, the decision. Pictures are
the shipped samples, the bundles' golden frames, and synthetic ones from a seeded generator.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

import edgemed
from edgemed import files, shipped, targets
from edgemed.bundle import models, trust
from edgemed.imaging import preprocess, readers
from edgemed.imaging.frame import Frame
from edgemed.runtime import backends, outputs
from edgemed.runtime.classifier import Classifier

SYNTHETIC = 24
SEED = 20240229


def main() -> int:
    answers = {name: dict(_answers(name)) for name in shipped.names()}
    json.dump({"architecture": targets.architecture(), "bundles": answers}, sys.stdout)
    return 0


def _answers(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    path = shipped.bundle_path(name)
    bundle = trust.open_bundle(path, keys=[shipped.demo_key()])
    steps = preprocess.parse(bundle.members["preprocessing.json"])
    interpreter = backends.load(bundle.members[models.INT8])
    classifier = Classifier(interpreter, height=steps.height, width=steps.width)
    unit = outputs.quantization(interpreter.outputs["logit"])
    screener = edgemed.Screener.open(name)
    for title, frame in _pictures(name, bundle.members):
        plane = preprocess.apply(frame, steps)
        logit = classifier.infer(plane)["logit"]
        screening = screener.screen(frame)
        yield (
            title,
            {
                "picture": files.sha256(np.ascontiguousarray(frame.pixels).tobytes()),
                "plane": files.sha256(np.ascontiguousarray(plane).tobytes()),
                "logit_int8": np.asarray(logit).ravel().tolist(),
                "logit_scale": unit.scale,
                "score": screening.score,
                "decision": screening.decision.value,
            },
        )


def _pictures(name: str, members: Any) -> Iterator[tuple[str, Frame]]:
    modality = next(one.modality for one in shipped.samples() if one.bundle == name)
    for sample in shipped.samples():
        if sample.bundle == name:
            for frame in edgemed.read(sample.path):
                yield f"sample {sample.file}", frame
    for member in sorted(members):
        if member.startswith("golden/") and member.endswith(".png") and ".plane." not in member:
            yield member, next(readers.decode(members[member], source=member))
    rng = np.random.default_rng(SEED)
    for number in range(SYNTHETIC):
        noise = rng.integers(0, 256, size=(int(rng.integers(200, 900)), int(rng.integers(200, 900))), dtype=np.uint8)
        # Integers only: the pictures themselves must be the same on both machines.
        smooth = cv2.GaussianBlur(noise, (0, 0), 1.0 + number).astype(np.int32)
        pixels = ((smooth - smooth.min()) * 255 // max(1, int(smooth.max() - smooth.min()))).astype(np.uint8)
        raw = cv2.imencode(".png", pixels)[1].tobytes()
        yield f"synthetic {number} {modality}", next(readers.decode(raw, source="synthetic.png"))


if __name__ == "__main__":
    sys.exit(main())
