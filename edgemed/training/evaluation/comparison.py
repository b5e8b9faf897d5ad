"""Two models on the same images: the paired difference of their areas, and who decides better.

found = comparison.compared(one, other, seed=17)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import ConfigError
from edgemed.runtime.decision import DecisionRule, OperatingPoint
from edgemed.training.evaluation.answers import Answers
from edgemed.training.evaluation.document import ComparedPoint, Comparison, Evaluated, Figure
from edgemed.training.evaluation.rule import scores
from edgemed.training.evaluation.sample import Sample

__all__ = ["Side", "compared", "require_comparable"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One of the two: what it is, what it answers, and how it decides."""

    about: Evaluated
    answers: Answers
    rule: DecisionRule

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the calibrated scores of some rows."""
        return scores(self.rule.calibration, self.answers.abnormality[rows])


def require_comparable(one: Evaluated, other: Evaluated) -> None:
    """Return when two models tell the same things apart.

    Raises:
        ConfigError: they do not.
    """
    if (one.labels, one.normal_labels) != (other.labels, other.normal_labels):
        raise ConfigError(
            f"--compare: {one.name} tells apart {' / '.join(one.labels)}, the other model, {other.name}, "
            f"{' / '.join(other.labels)}; compare models of the same labels"
        )


def compared(one: Side, other: Side, *, seed: int) -> Comparison:
    """Return the comparison of the other model with this one, on the images that both scored.

    Raises:
        ConfigError: both scored fewer than two images of a class.
    """
    shared, rows, other_rows = np.intersect1d(
        one.answers.indices, other.answers.indices, assume_unique=True, return_indices=True
    )
    abnormal = one.answers.abnormal[rows]
    if min(int(abnormal.sum()), int((~abnormal).sum())) < 2:
        raise ConfigError(
            f"--compare: expected at least 2 normal and 2 abnormal images that both models score, got "
            f"{int((~abnormal).sum())} and {int(abnormal.sum())}; check the quality limits of both"
        )
    samples = tuple(
        Sample(
            abnormal=abnormal,
            abnormality=side.answers.abnormality[chosen],
            scores=side.scores(chosen),
            groups=one.answers.groups[rows],
            seed=seed,
        )
        for side, chosen in ((one, rows), (other, other_rows))
    )
    paired = statistics.paired_delong(abnormal, samples[0].abnormality, samples[1].abnormality)
    return Comparison(
        other=other.about,
        n=len(shared),
        auc=samples[0].auc(),
        other_auc=samples[1].auc(),
        difference=Figure(value=paired.difference, ci95=paired.ci95, ci95_by_patient=_by_patient(*samples)),
        p_value=paired.p_value,
        points=tuple(_point(*pair, *samples) for pair in _pairs(one.rule, other.rule)),
    )


def _by_patient(one: Sample, other: Sample) -> tuple[float, float] | None:
    draws = one.draws
    return None if draws is None else draws.interval(draws.auc(other.abnormality) - draws.auc(one.abnormality))


def _pairs(one: DecisionRule, other: DecisionRule) -> Iterator[tuple[OperatingPoint, OperatingPoint]]:
    """Yield operating points of the same name, or the active ones where no name is shared."""
    named = {point.name: point for point in other.operating_points}
    pairs = [(point, named[point.name]) for point in one.operating_points if point.name in named]
    yield from pairs or [(one.operating_point, other.operating_point)]


def _point(one: OperatingPoint, other: OperatingPoint, mine: Sample, theirs: Sample) -> ComparedPoint:
    alert, other_alert = mine.scores >= one.threshold, theirs.scores >= other.threshold
    right, other_right = alert == mine.abnormal, other_alert == mine.abnormal
    only_this, only_other = int((right & ~other_right).sum()), int((~right & other_right).sum())
    return ComparedPoint(
        name=one.name if one.name == other.name else f"{one.name} / {other.name}",
        threshold=one.threshold,
        other_threshold=other.threshold,
        flipped=int((alert != other_alert).sum()),
        to_alert=int((~alert & other_alert).sum()),
        to_clear=int((alert & ~other_alert).sum()),
        only_this_right=only_this,
        only_other_right=only_other,
        p_value=statistics.mcnemar(only_this, only_other),
    )
