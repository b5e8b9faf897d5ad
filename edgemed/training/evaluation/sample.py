"""Figures of answers with their intervals, by image and, where a patient has several images, by patient.

sample = Sample.of(answers, scores, seed=recipe.fit.seed)
sample.auc()  # Figure
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.statistics import Estimate, Resamples
from edgemed.training.evaluation.document import Figure, Interval

__all__ = ["RESAMPLES", "Sample", "figure"]

RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Labelled scores of some images.

    Attributes:
        abnormal: (n,) bool.
        abnormality: (n,) logit of abnormal against normal; ranks like the scores, without their rounding at the ends.
        scores: (n,) calibrated, in [0, 1].
        groups: (n,) patients.
        seed: draws the patients of the resamples; every figure of a sample sees the same draws.
    """

    abnormal: NDArray[np.bool_]
    abnormality: NDArray[np.float64]
    scores: NDArray[np.float64]
    groups: NDArray[np.str_]
    seed: int

    def __len__(self) -> int:
        return len(self.abnormal)

    @property
    def patients(self) -> int:
        """Different patients."""
        return len(np.unique(self.groups))

    @property
    def repeats(self) -> bool:
        """Some patient has more than one image."""
        return self.patients < len(self)

    @cached_property
    def draws(self) -> Resamples | None:
        """Resamples of whole patients; None where no patient has several images."""
        if not self.repeats:
            return None
        rng = np.random.default_rng(self.seed)
        return statistics.resampled(self.abnormal, rng=rng, resamples=RESAMPLES, groups=self.groups)

    def part(self, chosen: NDArray[np.bool_]) -> Sample:
        """Return the sample of the chosen images, (n,) bool."""
        return Sample(
            abnormal=self.abnormal[chosen],
            abnormality=self.abnormality[chosen],
            scores=self.scores[chosen],
            groups=self.groups[chosen],
            seed=self.seed,
        )

    def auc(self) -> Figure:
        """Return the area under the ROC curve: DeLong."""
        return figure(statistics.delong(self.abnormal, self.abnormality), self._drawn_auc())

    def average_precision(self) -> Figure:
        """Return the average precision: logit interval."""
        drawn = None
        if self.draws is not None:
            drawn = self.draws.interval(self.draws.average_precision(self.abnormality))
        return figure(statistics.average_precision(self.abnormal, self.abnormality), drawn)

    def share(self, estimate: Estimate | None, right: NDArray[np.bool_], of: NDArray[np.bool_]) -> Figure | None:
        """Return a proportion, ``right`` among ``of``, (n,) bool each, with its interval by patient; None stays."""
        if estimate is None:
            return None
        drawn = None if self.draws is None else self.draws.interval(self.draws.share(right, of))
        return figure(estimate, drawn)

    def _drawn_auc(self) -> Interval | None:
        return None if self.draws is None else self.draws.interval(self.draws.auc(self.abnormality))


def figure(estimate: Estimate, by_patient: Interval | None = None) -> Figure:
    """Return an estimate as it stands in the document."""
    return Figure(value=estimate.value, ci95=estimate.ci95, ci95_by_patient=by_patient)
