"""Time one PNG in memory, from bytes to decision, against a hand-written loop of the same OpenCV calls and the invoke.

Both sides decode, crop, stretch, resize and invoke the same model; the screener also checks quality and modality,
measures the distance from the training data, calibrates, decides and takes the time of each stage. Turns alternate, so
that a drift of the machine falls on both. The ratio is that of the medians.

    python benchmarks/png_to_decision.py [--turns 300] [--side 1024] [--bundle chest-xray] [--trust KEY] [--json]

Limit: 1.03 times the loop. Exit 3 when it is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgemed import shipped
from edgemed.bundle import keys
from edgemed.imaging import readers
from edgemed.imaging.steps import Contrast, CropBorder, Equalize, Percentile, Resize
from edgemed.runtime.screener import Screener

LIMIT = 1.03
WARM_UP = 30


def main() -> int:
    options = parse()
    trusted = [keys.read_public(path) for path in options.trust] or None
    screener = Screener.open(options.bundle, keys=trusted)
    raw = picture(options.image or sample(options.bundle), options.side)
    sides = {"by hand": by_hand(screener), "edgemed": by_edgemed(screener)}
    agree(raw, sides)
    times = alternate(raw, sides, options.turns, clock=clock_of(options))
    ratio = float(np.median(times["edgemed"]) / np.median(times["by hand"]))
    report(times, ratio, options)
    return 3 if ratio > LIMIT else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=300, help=f"after {WARM_UP} to warm up")
    parser.add_argument("--side", type=int, default=1024, help="of the square picture, in pixels")
    parser.add_argument("--bundle", default="chest-xray", help="file, or name of a shipped bundle")
    parser.add_argument("--trust", type=Path, action="append", default=[], help="public key, for a file")
    parser.add_argument("--image", type=Path, help="default: the bundle's first sample image")
    parser.add_argument("--cpu", action="store_true", help="compare CPU seconds, where others use the machine as well")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def sample(bundle: str) -> Path:
    return next(sample.path for sample in shipped.samples() if sample.bundle == bundle)


def picture(path: Path, side: int) -> bytes:
    """Return a real picture as a square PNG of the size asked for."""
    pixels = next(readers.read(path)).pixels
    square = cv2.resize(np.asarray(pixels), (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".png", square)[1].tobytes()


def by_edgemed(screener: Screener) -> Callable[[bytes], float]:
    def run(raw: bytes) -> float:
        start = time.perf_counter()
        frame = next(readers.decode(raw, source="memory.png"))
        found = screener.screen(frame, decode_ms=1e3 * (time.perf_counter() - start))
        return found.logit[0] if found.logit else float("nan")

    return run


def by_hand(screener: Screener) -> Callable[[bytes], float]:
    """Return the loop that one would write for exactly this bundle, without a check or a value object."""
    judge = gray_by_hand(screener)
    return lambda raw: judge(cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED))


def gray_by_hand(screener: Screener) -> Callable[[np.ndarray], float]:
    """Return the part of the loop behind the decoder, for gray pictures of 8 or 16 bits."""
    crop, contrast, resize = steps(screener)
    height, width = screener.preprocessing.height, screener.preprocessing.width
    interpreter = native(screener)
    plane, logit = interpreter.get_input_details()[0], logit_of(screener, interpreter)
    scale, zero_point = plane["quantization"]
    to_int8 = np.clip(np.floor(np.arange(256) / scale + 0.5) + zero_point, -128, 127).astype(np.int8)

    def run(gray: np.ndarray) -> float:
        top_level = 1 << 8 * gray.dtype.itemsize
        if crop:
            top, left = int(gray.shape[0] * crop.fraction), int(gray.shape[1] * crop.fraction)
            gray = gray[top : gray.shape[0] - top, left : gray.shape[1] - left]
        if isinstance(contrast, Equalize):
            gray = cv2.equalizeHist(gray if top_level == 256 else (gray >> 8).astype(np.uint8))
        elif contrast:
            counts = np.cumsum(cv2.calcHist([gray], [0], None, [top_level], [0, top_level]).ravel().astype(np.int64))
            low = int(np.searchsorted(counts, counts[-1] * contrast.low_percent / 100, side="right"))
            high = int(np.searchsorted(counts, counts[-1] * contrast.high_percent / 100, side="left"))
            span = max(1, high - low)
            levels = np.clip(np.arange(top_level) - low, 0, span)
            gray = cv2.LUT(gray, ((255 * levels + span // 2) // span).astype(np.uint8))
        if resize.method == "area":
            rows, columns = (max(1, round(a / b)) * b for a, b in zip(gray.shape, (height, width), strict=True))
            gray = cv2.resize(gray, (columns, rows), interpolation=cv2.INTER_LINEAR_EXACT)
            gray = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
        else:
            gray = cv2.resize(gray, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
        interpreter.set_tensor(plane["index"], cv2.LUT(gray, to_int8)[None, :, :, None])
        interpreter.invoke()
        value = int(interpreter.get_tensor(logit["index"])[0, 0])
        return (value - logit["quantization"][1]) * logit["quantization"][0]

    return run


def steps(screener: Screener) -> tuple[CropBorder | None, Percentile | Equalize | None, Resize]:
    """Return the steps that the loop is written for, or stop."""
    crop, contrast, resize = None, None, None
    for step in screener.preprocessing.steps:
        if isinstance(step, CropBorder) and not (crop or contrast or resize):
            crop = step
        elif isinstance(step, Contrast) and isinstance(step.method, Percentile | Equalize) and not (contrast or resize):
            contrast = step.method
        elif isinstance(step, Resize) and step.fit == "stretch" and not resize:
            resize = step
        else:
            raise SystemExit(f"the hand-written loop has no {step}: extend it")
    if resize is None:
        raise SystemExit("the hand-written loop needs a resize")
    return crop, contrast, resize


def native(screener: Screener) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=screener.bundle.members["model/int8.tflite"], num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def logit_of(screener: Screener, interpreter: Any) -> Any:
    shape = list(screener.classifier.interpreter.outputs["logit"].shape)
    return next(
        detail
        for detail in interpreter.get_signature_runner().get_output_details().values()
        if list(detail["shape"]) == shape
    )


def agree(raw: bytes, sides: dict[str, Callable[[bytes], float]]) -> None:
    """Stop unless both sides compute the same logit: a faster loop that does something else proves nothing."""
    answers = {name: run(raw) for name, run in sides.items()}
    if not np.isclose(answers["by hand"], answers["edgemed"], rtol=1e-5):
        raise SystemExit(f"the two sides differ: {answers}")


def clock_of(options: argparse.Namespace) -> Callable[[], float]:
    return time.process_time if options.cpu else time.perf_counter


def alternate(
    raw: bytes,
    sides: dict[str, Callable[[bytes], float]],
    turns: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns + WARM_UP):
        for name, run in sides.items():
            start = clock()
            run(raw)
            elapsed = clock() - start
            if turn >= WARM_UP:
                times[name].append(1e3 * elapsed)
    return times


def report(times: dict[str, list[float]], ratio: float, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({"schema_version": 1, "side_px": options.side, "ms": times, "ratio": ratio, "limit": LIMIT}))
        return
    for name, of in times.items():
        p50, p90 = np.percentile(of, [50, 90])
        print(f"{name:8} p50 {p50:7.3f} ms, p90 {p90:7.3f}, max {max(of):7.3f}, n {len(of)}")
    print(f"edgemed is {ratio:.3f} of the loop, limit {LIMIT}: {'met' if ratio <= LIMIT else 'MISSED'}")


if __name__ == "__main__":
    sys.exit(main())
