"""The document of an inspection: what a data folder holds, and what was found in it.

for finding in inspection.findings:
    print(finding.severity.value, finding.message, finding.advice)
"""

from __future__ import annotations

import enum

import msgspec

__all__ = ["Count", "Difference", "Finding", "Inspection", "Levels", "Numbers", "Severity", "many"]

Numbers = tuple[int, ...]
"""Numbers of images; `Inspection.numbered_by` says what they count."""


class Severity(enum.Enum):
    """How much a finding matters."""

    ERROR = "error"
    """Training refuses the data, or figures measured on it would be wrong."""
    WARNING = "warning"
    """A model may learn, or a figure may rest on, something else than meant."""
    NOTE = "note"
    """Worth knowing."""


def many(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 pair``, ``2 pairs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Finding(_Document, frozen=True, kw_only=True):
    """One thing that was found.

    Attributes:
        kind: a fixed word for programs.
        count: of images, pairs, groups or patients, as the message says.
        message: what was found, with no name of a file or patient.
        advice: what to do.
        images: numbers of the images concerned.
        groups: numbers of images that belong together: two or more that show the same.
    """

    kind: str
    severity: Severity
    count: int
    message: str
    advice: str
    images: Numbers = ()
    groups: tuple[Numbers, ...] = ()


class Count(_Document, frozen=True, kw_only=True):
    """Images and patients of one label in one split; patients are None where they are not known."""

    split: str
    label: str
    images: int
    patients: int | None


class Levels(_Document, frozen=True, kw_only=True):
    """Grey levels of the images of one label in one split, 0..255.

    Attributes:
        mean, deviation: means over the images of their means and standard deviations.
        histogram: share of the pixels in 32 bins of 8 levels, each image weighing the same.
    """

    split: str
    label: str
    images: int
    mean: float
    deviation: float
    histogram: tuple[float, ...]


class Difference(_Document, frozen=True, kw_only=True):
    """How far apart the images of one label in two splits are.

    Attributes:
        distance: earth mover's distance between the two mean histograms, in grey levels.
        by_chance: what 99 of 100 random divisions of the same patients stay below.
        sharper: probability that an image of the second split is sharper than one of the first; 0.5 when alike.
    """

    label: str
    first: str
    second: str
    distance: float
    by_chance: float
    sharper: float


class Inspection(_Document, frozen=True, kw_only=True):
    """What ``edgemed data check --json`` prints.

    Attributes:
        form: manifest, npz, folders or dicom.
        assumed: what was guessed about the data, in words; empty where a recipe says it.
        images: listed ones.
        readable: those that could be read.
        numbered_by: what the numbers of images count.
        sizes: number of images by ``COLUMNSxROWS``, the commonest first.
        bits: number of images by significant bits.
        near_duplicate_correlation: of thumbnails, above which two images count as nearly the same.
    """

    schema_version: int
    form: str
    assumed: tuple[str, ...]
    images: int
    readable: int
    numbered_by: str
    counts: tuple[Count, ...]
    sizes: dict[str, int]
    bits: dict[str, int]
    levels: tuple[Levels, ...]
    differences: tuple[Difference, ...]
    near_duplicate_correlation: float
    findings: tuple[Finding, ...]
    summary: dict[str, int]
