"""Findings about what goes with the label but is not the finding: device, brightness, sharpness, text in the picture.

Only images that a model may learn from are looked at.

    findings = shortcuts.findings(subject)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgemed.training.inspection.document import Finding, Severity
from edgemed.training.inspection.evidence import association, proportions_differ, separation
from edgemed.training.inspection.subject import Subject

__all__ = ["findings"]

_TELLING = 0.85  # area under the curve of one number that no radiologist would look at
_ASSOCIATED = 0.3  # Cramer's V from which an association counts as strong
_TEXT_STEP = 0.05
_MOST_VALUES = 50  # an attribute with more is a key, not an origin
_UNKNOWN = "unknown"


def findings(subject: Subject) -> Iterator[Finding]:
    """Yield what a model could learn instead of the finding."""
    yield from _attributes(subject)
    yield from _numbers(subject)
    yield from _text(subject)


def _attributes(subject: Subject) -> Iterator[Finding]:
    members = subject.learning()
    for name, values in sorted(subject.listing.attributes.items()):
        column = np.array([values[index] or _UNKNOWN for index in members])
        if not len(column) or not 2 <= len(set(column.tolist())) <= _MOST_VALUES:
            continue
        strength = association(column, subject.labels[members])
        if strength > _ASSOCIATED:
            yield Finding(
                kind="attribute-goes-with-label",
                severity=Severity.WARNING,
                count=1,
                message=f"{name} goes with the label (Cramer's V {strength:.2f}): {_most_telling(column, subject)}",
                advice="a model can tell the origin instead of the finding: balance labels within each value, and "
                "report figures by it",
            )


def _most_telling(column: np.ndarray[tuple[int], np.dtype[np.str_]], subject: Subject) -> str:
    """Return in words the value and the label that go together the most, by images above what their shares give."""
    labels = subject.labels[subject.learning()]
    best = (0.0, "")
    for value in sorted(set(column.tolist())):
        for label in subject.label_names:
            here = float((labels[column == value] == label).mean())
            everywhere = float((labels == label).mean())
            step = (here - everywhere) * float(np.sqrt((column == value).mean()))
            if step > best[0]:
                best = (step, f"{here:.0%} of the images with {value!r} are {label}, {everywhere:.0%} of all")
    return best[1]


def _numbers(subject: Subject) -> Iterator[Finding]:
    members = subject.learning()
    labels = subject.labels[members]
    columns = {
        "mean brightness": subject.traits.means,
        "sharpness": subject.traits.sharpness,
        "height over width": subject.traits.sizes[:, 0] / np.maximum(1, subject.traits.sizes[:, 1]),
    }
    # Of two labels one comparison says it all.
    for label in subject.label_names[1:] if len(subject.label_names) == 2 else subject.label_names:
        for name, values in columns.items():
            inside, outside = values[members][labels == label], values[members][labels != label]
            if not len(inside) or not len(outside):
                continue
            area, sure = separation(outside, inside)
            if sure and max(area, 1 - area) > _TELLING:
                yield Finding(
                    kind="picture-goes-with-label",
                    severity=Severity.WARNING,
                    count=1,
                    message=f"{name} alone tells {label} from the rest with an area under the curve of "
                    f"{max(area, 1 - area):.2f} ({'higher' if area > 0.5 else 'lower'} for {label})",
                    advice="it may be the finding, or how one origin takes pictures: vary it in training, and test on "
                    "another origin",
                )


def _text(subject: Subject) -> Iterator[Finding]:
    members = subject.learning()
    written = np.array([bool(boxes) for boxes in subject.traits.letters])[members]
    labels = subject.labels[members]
    for label in subject.label_names[1:] if len(subject.label_names) == 2 else subject.label_names:
        inside, outside = written[labels == label], written[labels != label]
        if not len(inside) or not len(outside):
            continue
        first, second = (int(inside.sum()), len(inside)), (int(outside.sum()), len(outside))
        step = abs(first[0] / first[1] - second[0] / second[1])
        if step > _TEXT_STEP and proportions_differ(first, second):
            yield Finding(
                kind="text-goes-with-label",
                severity=Severity.WARNING,
                count=1,
                message=f"text is suspected in {first[0] / first[1]:.0%} of the pictures of {label} and in "
                f"{second[0] / second[1]:.0%} of the others",
                advice="a model can read the annotation instead of the finding: crop it, cover it, or set those apart",
            )
