"""The inspection of a data set as a whole: one pass over the images, then the rules.

checked = check.inspect(described.by_recipe(recipe, folder))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgemed.training.inspection import composition, duplicates, levels, pictures, shortcuts, traits
from edgemed.training.inspection.described import Described
from edgemed.training.inspection.document import Finding, Inspection, Severity
from edgemed.training.inspection.subject import Subject

__all__ = ["NEAR", "Checked", "inspect"]

NEAR = 0.98
"""Correlation of 28x28 thumbnails above which two pictures count as nearly the same."""

_ORDER = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Checked:
    """The document, and what stays on this machine: names, pixels and what was measured of them."""

    document: Inspection
    subject: Subject


def inspect(described: Described, *, near: float = NEAR, progress: Callable[[], None] = lambda: None) -> Checked:
    """Read every image once, the test images too, and return what is wrong with the data set.

    Args:
        described: the images, and what their labels and splits mean.
        near: correlation of thumbnails above which two pictures count as nearly the same, 0.5..1.
        progress: called once an image.
    """
    subject = _subject(described, near, progress)
    differences = levels.differences(subject)
    found: list[Finding] = [
        *composition.findings(subject),
        *pictures.findings(subject),
        *duplicates.findings(subject),
        *levels.findings(differences, subject),
        *shortcuts.findings(subject),
    ]
    many = Counter(finding.severity for finding in found)
    document = Inspection(
        schema_version=1,
        form=described.form,
        assumed=described.assumed,
        images=len(described.listing.names),
        readable=int(subject.traits.readable.sum()),
        numbered_by=described.listing.numbered_by,
        counts=composition.counts(subject),
        sizes=pictures.sizes(subject),
        bits=pictures.bits(subject),
        levels=levels.levels(subject),
        differences=differences,
        near_duplicate_correlation=near,
        findings=tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity))),
        summary={severity.value: many[severity] for severity in _ORDER},
    )
    return Checked(document=document, subject=subject)


def _subject(described: Described, near: float, progress: Callable[[], None]) -> Subject:
    listing, meaning = described.listing, described.meaning
    return Subject(
        listing=listing,
        traits=traits.measure(listing, progress=progress),
        labels=np.array([meaning.get(value, value) for value in listing.values]),
        unlisted=frozenset(index for index, value in enumerate(listing.values) if value not in meaning),
        label_names=described.label_names,
        roles=described.roles,
        patients_known=described.patients_known,
        near=near,
    )
