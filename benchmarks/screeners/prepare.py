"""Makes one network in every form that the screeners take, and the picture: edgemed's training environment.

    python -m screeners.prepare WORK [WEIGHTS.h5]

The recipe's MobileNetV2 with one logit, its weights random or those of ImageNet: none of it is trained, for time does
not depend on what was learned. Quantized with zero points of 0, so that one int8 model is both TFLite and QDQ ONNX.

    WORK/float.keras  WORK/int8.tflite  WORK/qdq.onnx  WORK/peers.edgemed  WORK/peers.pub
    WORK/image.png  WORK/model.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import keras
import numpy as np

from converters import export, qat
from converters.jetson.export import qdq_onnx
from edgemed import files, schema, shipped
from edgemed.bundle import archive, keys
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.imaging import preprocess, readers
from edgemed.imaging.steps import Contrast, CropBorder, Equalize, Resize
from edgemed.runtime import decision
from edgemed.runtime.decision import (
    Calibration,
    DecisionRule,
    OperatingPoint,
    OutOfDistribution,
    QualityLimits,
    Zone,
)
from edgemed.training.models import families
from edgemed.training.network import MobileNetV2
from screeners.by_hand import CROP, SIDE

IMAGE_SIDE = 1024
EMBEDDING = 128
PREPROCESSING = preprocess.Preprocessing(
    schema=1,
    height=SIDE,
    width=SIDE,
    steps=(CropBorder(fraction=CROP), Contrast(method=Equalize()), Resize(method="area", fit="stretch")),
)


def main() -> None:
    work = Path(sys.argv[1])
    weights = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    work.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(17)
    model = families.build(network(), height=SIDE, width=SIDE, outputs=1, pretrained=weights)
    frames = [next(readers.read(sample.path)) for sample in shipped.samples() if sample.bundle == "chest-xray"]
    planes = np.stack([preprocess.apply(frame, PREPROCESSING) for frame in frames])
    twin = qat.quantization_aware(model, input_ranges={model.inputs[0].name: (0.0, 255.0)}, symmetric=True)
    qat.calibrate(twin, planes[..., None].astype(np.float32))
    raw = export.int8_tflite(twin, planes[..., None].astype(np.float32))
    model.save(work / "float.keras")
    (work / "int8.tflite").write_bytes(raw)
    (work / "qdq.onnx").write_bytes(qdq_onnx(raw))
    bundle(work, raw)
    square = cv2.resize(np.asarray(frames[0].pixels), (IMAGE_SIDE, IMAGE_SIDE), interpolation=cv2.INTER_CUBIC)
    (work / "image.png").write_bytes(cv2.imencode(".png", square)[1].tobytes())
    (work / "model.json").write_text(json.dumps({"side": SIDE, "parameters": model.count_params()}))


def network() -> MobileNetV2:
    """Return the network of the shipped chest X-ray recipe."""
    return MobileNetV2(cut="block_12", alpha=1.0, embedding=EMBEDDING, dropout=0.0)


def bundle(work: Path, raw: bytes) -> None:
    """Write a signed bundle around the int8 model, with every gate that a shipped one has."""
    key = keys.generate()
    document = ArtifactDocument(
        name="peers",
        task="classify",
        intended_use="time measurement; nothing was trained",
        modalities=("DX", "CR"),
        body_part="CHEST",
        labels=("abnormal",),
        targets=("generic-x86-64", "generic-aarch64"),
        outputs=("logit", "evidence", "embedding"),
    )
    members = {
        "model/int8.tflite": raw,
        "preprocessing.json": schema.encode_json(PREPROCESSING),
        "decision.json": schema.encode_json(rule(raw)),
    }
    (work / "peers.edgemed").write_bytes(
        archive.build(document, members, version="1.0.0", release=1, private_keys=[key])
    )
    (work / "peers.pub").write_bytes(keys.encode_public(key.public))


def rule(raw: bytes) -> DecisionRule:
    point = OperatingPoint(
        name="even",
        criterion="none",
        threshold=0.5,
        sensitivity=0.5,
        sensitivity_ci95=(0.0, 1.0),
        specificity=0.5,
        specificity_ci95=(0.0, 1.0),
        n_abnormal=1,
        n_normal=1,
    )
    return DecisionRule(
        schema=1,
        version=1,
        model=files.sha256(raw),
        calibration=Calibration(slope=1.0, intercept=0.0),
        operating_points=(point,),
        active="even",
        indeterminate=Zone(low=0.5, high=0.5),
        quality=QualityLimits(min_side_px=64, max_side_px=8192, min_contrast=0.05, max_coloured_fraction=0.1),
        out_of_distribution=OutOfDistribution(
            size=EMBEDDING,
            mean=decision.encode_floats(np.zeros(EMBEDDING)),
            whitening=decision.encode_floats(np.eye(EMBEDDING)),
            limit=1e9,
        ),
    )


if __name__ == "__main__":
    main()
