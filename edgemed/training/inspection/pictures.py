"""Findings about single pictures: unreadable, blank, coloured, of odd size or depth, with text in them.

findings = pictures.findings(subject)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from edgemed.training.inspection.document import Finding, Severity, many
from edgemed.training.inspection.subject import Subject

__all__ = ["bits", "findings", "sizes"]

_BLANK_LEVELS = 2.0  # standard deviation of grey levels
_COLOURED = 0.01  # share of the pixels; an icon or a coloured calliper is less
_SIDE_RATIO = 4.0


def sizes(subject: Subject) -> dict[str, int]:
    """Return the number of images by ``COLUMNSxROWS``, the commonest first."""
    found = Counter(f"{columns}x{rows}" for rows, columns in subject.traits.sizes[subject.traits.readable].tolist())
    return dict(found.most_common())


def bits(subject: Subject) -> dict[str, int]:
    """Return the number of images by significant bits, rising."""
    found = Counter(subject.traits.bits[subject.traits.readable].tolist())
    return {str(depth): found[depth] for depth in sorted(found)}


def findings(subject: Subject) -> Iterator[Finding]:
    """Yield what is odd about single pictures."""
    yield from _unreadable(subject)
    yield from _blank(subject)
    yield from _coloured(subject)
    yield from _shapes(subject)
    yield from _text(subject)


def _unreadable(subject: Subject) -> Iterator[Finding]:
    if faults := subject.traits.faults:
        yield Finding(
            kind="unreadable",
            severity=Severity.ERROR,
            count=len(faults),
            message=f"{len(faults)} of {len(subject.listing.names)} images cannot be read",
            advice="repair them, remove their rows, or write unreadable: skip under data in the recipe",
            images=subject.numbers(sorted(faults)),
        )


def _blank(subject: Subject) -> Iterator[Finding]:
    found = np.flatnonzero(subject.traits.readable & (subject.traits.deviations < _BLANK_LEVELS))
    if len(found):
        yield Finding(
            kind="blank",
            severity=Severity.WARNING,
            count=len(found),
            message=f"{many(len(found), 'picture')} of almost one grey level",
            advice="look at them with --sheet; a label cannot come from such a picture",
            images=subject.numbers(found),
        )


def _coloured(subject: Subject) -> Iterator[Finding]:
    found = np.flatnonzero(subject.traits.coloured > _COLOURED)
    if len(found):
        yield Finding(
            kind="coloured",
            severity=Severity.WARNING,
            count=len(found),
            message=f"{many(len(found), 'picture')} with more than {_COLOURED:.0%} of the pixels coloured",
            advice="Doppler, overlays or photographs: the model sees them in gray; leave them out, or let the recipe's "
            "max_coloured_fraction refuse such",
            images=subject.numbers(found),
        )


def _shapes(subject: Subject) -> Iterator[Finding]:
    known = sizes(subject)
    if len(known) > 1:
        sides = subject.traits.sizes[subject.traits.readable]
        shape = sides[:, 0] / sides[:, 1]
        ratio = float(shape.max() / shape.min())
        yield Finding(
            kind="sizes",
            severity=Severity.WARNING if ratio > _SIDE_RATIO else Severity.NOTE,
            count=len(known),
            message=f"pictures have {len(known)} sizes, sides from {int(sides.min())} to {int(sides.max())} pixels, "
            f"height over width from {shape.min():.2f} to {shape.max():.2f}",
            advice="choose in the recipe how the resize step fits them; stretch changes their proportions",
        )
    depths = bits(subject)
    if len(depths) > 1:
        yield Finding(
            kind="depths",
            severity=Severity.WARNING,
            count=len(depths),
            message="pictures have " + " and ".join(f"{depth} ({count})" for depth, count in depths.items()) + " bits",
            advice="they came by different ways; check that one label does not come by one of them",
        )


def _text(subject: Subject) -> Iterator[Finding]:
    written = {index for index, boxes in enumerate(subject.traits.letters) if boxes}
    said = subject.listing.attributes.get("burned_in", ())
    declared = {index for index, value in enumerate(said) if value == "YES"}
    if written or declared:
        by_header = f", and the header says so for {len(declared)}" if said else ""
        yield Finding(
            kind="text",
            severity=Severity.WARNING,
            count=len(written | declared),
            message=f"text is suspected in the pixels of {many(len(written), 'picture')}{by_header}",
            advice="it may name a patient, and a model may read it: look with --sheet, then crop or cover it",
            images=subject.numbers(sorted(written | declared)),
        )
