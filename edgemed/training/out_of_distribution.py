"""How a bundle treats images that it is not meant for: refusals by gate, and how well the distance tells them apart.

Frames go through the same `Screener` as on a device. The AUROC is that of the distance alone: it is computed for frames
too which an earlier gate refuses, so that no gate hides what another can do.

    report = out_of_distribution.measure(screener, in_domain, {"photos": out_of_distribution.frames(folder)})
    print(report.in_domain.refused, *(f"{found.name} {found.refused}" for found in report.sets))
"""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import ConfigError, ImageError
from edgemed.imaging import readers
from edgemed.imaging.frame import Frame, Pixels
from edgemed.runtime.screener import Screener
from edgemed.runtime.screening import Refusal
from edgemed.training.evaluation import Figure

__all__ = ["ALTERATIONS", "OodReport", "OodSet", "frames", "measure"]


class OodSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of one set of frames.

    Attributes:
        n: frames.
        refused: share of them that got no score, with Wilson's interval; each frame counts as independent.
        by: frames by what refused them first, in the order of the gates.
        auroc: of the distance, these frames against those in domain, with DeLong's interval; None for the frames in
            domain, for fewer than two frames, and where the bundle has no such gate.
    """

    name: str
    n: int
    refused: Figure
    by: dict[Refusal, int]
    auroc: Figure | None


class OodReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document of a measurement.

    Attributes:
        bundle: name, version and digest.
        backend: that ran the model.
        in_domain: frames that should not be refused.
        sets: frames that should be, given ones first, then `ALTERATIONS` of those in domain.
    """

    schema_version: Literal[1]
    bundle: dict[str, str]
    backend: str
    in_domain: OodSet
    sets: tuple[OodSet, ...]


@dataclass(kw_only=True)
class _Tally:
    """Frames of one set as they come by."""

    n: int = 0
    by: Counter[Refusal] = field(default_factory=Counter)
    distances: list[float] = field(default_factory=list)

    def add(self, screener: Screener, frame: Frame) -> None:
        found = screener.screen(frame)
        self.n += 1
        if found.refusal is not None:
            self.by[found.refusal] += 1
        distance = screener.distance(frame) if found.ood_distance is None else found.ood_distance
        if distance is not None:
            self.distances.append(distance)


def measure(
    screener: Screener,
    in_domain: Iterable[Frame],
    sets: Mapping[str, Iterable[Frame]],
    *,
    progress: Callable[[], None] = lambda: None,
) -> OodReport:
    """Return how an opened bundle treats frames in domain, alterations of them, and frames from elsewhere.

    Args:
        screener: of the bundle.
        in_domain: such as the bundle is meant for, gone through once; none of them gave a limit, or the figures
            flatter.
        sets: by name, what it is not meant for; gone through once each.
        progress: called after each frame in domain or of a set.

    Raises:
        ConfigError: a set, or the frames in domain, are empty, or a set has the name of an alteration.
        ImageError: a frame cannot be read.
        InferenceError: the back end failed.
    """
    if clash := sorted(set(sets) & set(ALTERATIONS)):
        raise ConfigError(f"{clash[0]}: is the name of an alteration of frames in domain; give the set another name")
    inside = _Tally()
    tallies = {name: _Tally() for name in (*sets, *ALTERATIONS)}
    for frame in in_domain:
        inside.add(screener, frame)
        for name, alter in ALTERATIONS.items():
            tallies[name].add(screener, replace(frame, pixels=alter(frame)))
        progress()
    for name, given in sets.items():
        for frame in given:
            tallies[name].add(screener, frame)
            progress()
    return _report(screener, inside, tallies)


def frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of a folder with images, of one image, or of the images in a zip, in sorted order.

    Raises:
        ConfigError: there is no image.
        ImageError: an image cannot be read; it is named.
    """
    found = _of_zip(path) if zipfile.is_zipfile(path) else _of_folder(path)
    first = next(found, None)
    if first is None:
        raise ConfigError(f"{path}: expected images, found none; name a folder, a picture, or a zip of pictures")
    yield first
    yield from found


def _of_folder(path: Path) -> Iterator[Frame]:
    if not path.exists():
        raise ConfigError(f"{path}: expected a folder, a picture, or a zip of pictures, found nothing; check the path")
    for image in readers.expand([path]):
        yield from readers.read(image)


def _of_zip(path: Path) -> Iterator[Frame]:
    """Yield the pictures of a zip; what lies beside them, such as a table, is passed over."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if Path(name).suffix.lower() not in _PICTURES:
                continue
            try:
                raw = archive.read(name)
            except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as err:
                raise ImageError(f"{path}: {name}: cannot be unpacked: {err}; pack it again") from err
            yield from readers.decode(raw, source=name)


_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm"})


def _inverted(frame: Frame) -> Pixels:
    """Return the negative: what a MONOCHROME1 image is when its photometric interpretation is ignored."""
    return _of_depth(frame, (1 << frame.bits) - 1 - frame.pixels.astype(np.int32))


def _turned(frame: Frame, quarters: int) -> Pixels:
    return _of_depth(frame, np.rot90(frame.pixels, quarters))


def _blank(frame: Frame) -> Pixels:
    """Return the frame's mean grey level everywhere."""
    return _of_depth(frame, np.full(frame.pixels.shape, round(float(frame.pixels.mean()))))


def _saturated(frame: Frame) -> Pixels:
    """Return the frame exposed so that half of its pixels end at the top of the range, or at 1 where half are 0."""
    top = (1 << frame.bits) - 1
    gain = top / max(1.0, float(np.median(frame.pixels)))
    return _of_depth(frame, np.minimum(frame.pixels * gain, top))


def _of_depth(frame: Frame, values: NDArray[np.generic]) -> Pixels:
    """Return grey levels in the type of the frame's own."""
    return values.astype(np.uint8) if frame.bits == 8 else values.astype(np.uint16)


ALTERATIONS: Mapping[str, Callable[[Frame], Pixels]] = MappingProxyType(
    {
        "inverted": _inverted,
        "rotated 90": lambda frame: _turned(frame, 1),
        "rotated 180": lambda frame: _turned(frame, 2),
        "blank": _blank,
        "saturated": _saturated,
    }
)
"""What is done to each frame in domain, by name: inverted grey levels, turned, blank, overexposed."""


def _report(screener: Screener, inside: _Tally, tallies: Mapping[str, _Tally]) -> OodReport:
    manifest = screener.bundle.manifest
    return OodReport(
        schema_version=1,
        bundle={"name": manifest.name, "version": manifest.version, "digest": screener.bundle.digest},
        backend=screener.classifier.interpreter.backend,
        in_domain=_set("in domain", inside, None),
        sets=tuple(_set(name, tally, inside) for name, tally in tallies.items()),
    )


def _set(name: str, tally: _Tally, inside: _Tally | None) -> OodSet:
    if not tally.n:
        raise ConfigError(f"{name}: expected at least one frame, got none; name a folder with images")
    share = statistics.wilson(tally.by.total(), tally.n)
    return OodSet(
        name=name,
        n=tally.n,
        refused=Figure(value=share.value, ci95=share.ci95, ci95_by_patient=None),
        by={refusal: tally.by[refusal] for refusal in Refusal if tally.by[refusal]},
        auroc=None if inside is None else _auroc(inside.distances, tally.distances),
    )


def _auroc(inside: list[float], outside: list[float]) -> Figure | None:
    if min(len(inside), len(outside)) < 2:  # an AUC has no interval below
        return None
    found = statistics.delong(np.repeat([0, 1], [len(inside), len(outside)]), np.array(inside + outside))
    return Figure(value=found.value, ci95=found.ci95, ci95_by_patient=None)
