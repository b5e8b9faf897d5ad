"""How often the fitted quality gates refuse, and what they cost.

    python -m benchmarks.quality_gates DATA        (DATA holds chest_xray_224, breast_ultrasound_256 and ood_images)

Limits are fitted to the train split of a recipe, as `edgemed convert` does; validation and changed copies of it are
then judged. Test images are not read. Writes benchmarks/results/quality_gates.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks import kept, machine
from converters import quality as qualities
from edgemed.imaging import preprocess, quality, readers
from edgemed.imaging.frame import Frame
from edgemed.imaging.gates import Gates
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime.decision import QualityLimits
from edgemed.training import prepare, recipe

FOLDERS = {
    "chest-xray": ("chest_xray_224", Gates(upright=True)),
    "breast-ultrasound": ("breast_ultrasound_256", Gates()),
}
SAMPLE = 300

Change = Callable[[np.ndarray], np.ndarray]


def scaled(factor: float) -> Change:
    return lambda pixels: np.minimum(pixels.astype(np.float64) * factor, 255).astype(np.uint8)


def blurred(sigma: float) -> Change:
    return lambda pixels: cv2.GaussianBlur(pixels, (0, 0), sigma)


CHANGES: dict[str, Change] = {
    "unchanged": lambda pixels: pixels,
    "blank": np.zeros_like,
    "levels x 0.5": scaled(0.5),
    "levels x 0.25": scaled(0.25),
    "levels x 1.5": scaled(1.5),
    "levels x 2.5": scaled(2.5),
    "blurred, sigma 1": blurred(1.0),
    "blurred, sigma 2": blurred(2.0),
    "blurred, sigma 4": blurred(4.0),
    "inverted": lambda pixels: 255 - pixels,
    "turned by 90 degrees": lambda pixels: np.ascontiguousarray(np.rot90(pixels)),
    "turned by 180 degrees": lambda pixels: np.ascontiguousarray(np.rot90(pixels, 2)),
}


def refused(frame: Frame, steps: Preprocessing, limits: QualityLimits) -> tuple[str, ...]:
    """Return the names of the gates that refuse a frame."""
    pose = None if limits.upright is None else limits.upright.pose()
    found = quality.reasons(frame, limits)
    found = found or quality.plane_reasons(preprocess.apply(frame, steps), limits, pose)
    return tuple(reason.split(":")[0] for reason in found)


def share(frames: list[Frame], steps: Preprocessing, limits: QualityLimits) -> dict[str, object]:
    """Return how many of some frames are refused, and by which gates."""
    verdicts = [refused(frame, steps, limits) for frame in frames]
    by = Counter(name for verdict in verdicts for name in verdict)
    return {"n": len(frames), "refused": sum(map(bool, verdicts)), "by": dict(by.most_common())}


def photographs(archive: Path) -> list[Frame]:
    """Return the pictures of a zip, none where it is missing."""
    if not archive.is_file():
        return []
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as images:
        images.extractall(folder)
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return [frame for path in paths for frame in readers.read(path)]


def spread(planes: LabelledPlanes, count: int) -> list[Frame]:
    return [planes.read(int(i)) for i in np.unique(np.linspace(0, len(planes.planes) - 1, count).astype(int))]


def changed(frame: Frame, change: Change) -> Frame:
    return Frame(pixels=change(np.asarray(frame.pixels, np.uint8)), source=frame.source)


def judged(name: str, data: Path) -> dict[str, object]:
    """Return the figures of one recipe."""
    found = recipe.load(name)
    folder, gates = FOLDERS[name]
    split = prepare.prepare(found, data / folder)
    limits = qualities.fitted(found.quality, gates, split.train)
    steps = found.preprocessing
    validation = spread(split.validation, SAMPLE)
    photos = photographs(data / "ood_images" / "images.zip")
    return {
        "limits": {
            key: getattr(limits, key) for key in ("min_bright_level", "max_saturated_fraction", "min_sharpness")
        },
        "margin": None if limits.upright is None else limits.upright.margin,
        "train": share(spread(split.train, 1000), steps, limits),
        "validation": share(spread(split.validation, 10_000), steps, limits),
        "photographs": share(photos, steps, limits) if photos else None,
        "changed": {
            how: share([changed(frame, change) for frame in validation], steps, limits)
            for how, change in CHANGES.items()
        },
        "cost_ms": cost(validation[0], steps, limits),
    }


def cost(frame: Frame, steps: Preprocessing, limits: QualityLimits) -> float:
    """Return the median time of all gates on one 1024 x 1024 frame, its plane being made already."""
    pixels = cv2.resize(np.asarray(frame.pixels, np.uint8), (1024, 1024))
    large = Frame(pixels=pixels, source="cost")
    plane, pose = preprocess.apply(large, steps), None if limits.upright is None else limits.upright.pose()
    taken = []
    for _ in range(300):
        began = time.perf_counter()
        quality.reasons(large, limits)
        quality.plane_reasons(plane, limits, pose)
        taken.append(1e3 * (time.perf_counter() - began))
    return round(statistics.median(taken), 3)


def page(found: dict[str, dict[str, object]]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "# Quality gates",
        "",
        "Limits fitted to train (`benchmarks/quality_gates.py`), judged on validation and on changed copies of up to",
        f"{SAMPLE} of its pictures; no test picture was read. `refused` of `n`, and which gates spoke.",
    ]
    for name, one in found.items():
        lines += [
            "",
            f"## {name}",
            "",
            f"Limits: {json.dumps(one['limits'])}; margin of the pose: {one['margin']}.",
            "",
        ]
        lines += ["| pictures | refused | n | gates |", "|---|---|---|---|"]
        rows = {key: one[key] for key in ("train", "validation", "photographs")} | one["changed"]  # type: ignore[operator]
        for what, row in rows.items():
            if row:
                said = ", ".join(f"{gate} {count}" for gate, count in row["by"].items())
                lines.append(f"| {what} | {row['refused']} | {row['n']} | {said} |")
        lines += ["", f"All gates on a 1024 x 1024 frame: {one['cost_ms']} ms (median of 300)."]
    return "\n".join(lines) + "\n"


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("data", type=Path)
    data = asked.parse_args().data
    found = {name: judged(name, data) for name in FOLDERS}
    results = Path(__file__).parent / "results"
    kept.write_json(results / "quality_gates.json", {"machine": machine.described(), "recipes": found})
    kept.write_bytes(results / "quality_gates.md", page(found).encode())
    print(page(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
