"""Grey levels by split and label, and how far splits lie apart: the earth mover's distance between mean histograms.

The distance is the area between the two cumulative histograms: the mean number of grey levels by which pixels would
have to move. How large it gets by chance is measured on 200 random divisions of the same patients.

    found = levels.differences(subject)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgemed.training.inspection.document import Difference, Finding, Levels, Severity
from edgemed.training.inspection.evidence import separation
from edgemed.training.inspection.subject import ROLES, Subject

__all__ = ["differences", "findings", "levels"]

_DIVISIONS = 200
_BINS = 32
_SEED = 0  # the random divisions of one data set are always the same
_DISTANCE = 1.0  # grey levels below which a difference is not worth a word
_SHARPER = 0.1
_FEWEST = 10  # images on each side


def levels(subject: Subject) -> tuple[Levels, ...]:
    """Return the grey levels of every split and label that has a readable image."""
    means, deviations = subject.traits.means, subject.traits.deviations
    found = []
    for split in subject.split_order:
        for label in subject.label_names:
            members = subject.where(split=split, label=label)
            if len(members):
                bins = subject.traits.histograms[members].mean(axis=0, dtype=np.float64).reshape(_BINS, -1).sum(axis=1)
                found.append(
                    Levels(
                        split=split,
                        label=label,
                        images=len(members),
                        mean=round(float(means[members].mean()), 2),
                        deviation=round(float(deviations[members].mean()), 2),
                        histogram=tuple(round(float(value), 5) for value in bins),
                    )
                )
    return tuple(found)


def differences(subject: Subject) -> tuple[Difference, ...]:
    """Return how far validation and test lie from train, label by label, where each side has ten images."""
    found = []
    train = subject.roles.get("train")
    for role in ROLES[1:]:
        split = subject.roles.get(role)
        if train is None or split is None:
            continue
        for label in subject.label_names:
            sides = subject.where(split=train, label=label), subject.where(split=split, label=label)
            if min(map(len, sides)) >= _FEWEST:
                sharper, _ = separation(*(subject.traits.sharpness[side] for side in sides))
                distance, by_chance = _distance(subject, *sides)
                found.append(
                    Difference(
                        label=label,
                        first=train,
                        second=split,
                        distance=round(distance, 2),
                        by_chance=round(by_chance, 2),
                        sharper=round(sharper, 3),
                    )
                )
    return tuple(found)


def findings(found: tuple[Difference, ...], subject: Subject) -> Iterator[Finding]:
    """Yield the splits that look different."""
    for one in found:
        sides = (subject.where(split=split, label=one.label) for split in (one.first, one.second))
        _, sure = separation(*(subject.traits.sharpness[side] for side in sides))
        brighter = one.distance > max(one.by_chance, _DISTANCE)
        sharper = sure and abs(one.sharper - 0.5) > _SHARPER
        if brighter or sharper:
            yield Finding(
                kind="shift",
                severity=Severity.WARNING,
                count=1,
                message=f"{one.label}: grey levels of {one.second} lie {one.distance:.1f} of 255 from those of "
                f"{one.first} (by chance below {one.by_chance:.1f}); a picture of {one.second} is the sharper one with "
                f"probability {one.sharper:.2f}",
                advice="the splits do not come from one source: expect other figures on each, vary exposure, contrast "
                "and sharpness in training, and state figures for each source",
            )


def _distance(subject: Subject, first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[float, float]:
    """Return the distance of two sets of images, and the 99th percentile of those of random divisions."""
    members = np.concatenate([first, second])
    groups, place = np.unique(np.array(subject.listing.groups)[members], return_inverse=True)
    histograms = subject.traits.histograms[members]
    sums = np.zeros((len(groups), histograms.shape[1]))
    np.add.at(sums, place, histograms)
    sizes = np.bincount(place, minlength=len(groups))
    observed = _earth_mover(histograms[: len(first)].mean(axis=0), histograms[len(first) :].mean(axis=0))
    rng = np.random.default_rng(_SEED)
    total, count = sums.sum(axis=0), len(members)
    drawn = []
    for _ in range(_DIVISIONS):
        order = rng.permutation(len(groups))
        # Whole patients, until the second side is as large as it is; the first keeps one at least.
        taken = order[: max(1, min(len(groups) - 1, int(np.searchsorted(np.cumsum(sizes[order]), len(second)) + 1)))]
        inside, many = sums[taken].sum(axis=0), int(sizes[taken].sum())
        drawn.append(_earth_mover((total - inside) / (count - many), inside / many))
    return observed, float(np.quantile(drawn, 0.99)) if len(groups) > 1 else float("inf")


def _earth_mover(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the earth mover's distance of two histograms over the same levels, in levels."""
    return float(np.abs(np.cumsum(first.astype(np.float64) - second)).sum())
