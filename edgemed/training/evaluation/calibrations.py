"""Calibration before and after: the bare logit, the map in force, and Platt, temperature and isotonic maps refitted.

The refitted maps see validation only. Where validation is what is evaluated, each image's score comes from maps that
were fitted without its patient (five folds), so that no map is judged on what it has seen.

    found = calibrations.compared(sample, in_force=words, validation=answers, keep_together=None)
    found.in_force.brier
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgemed import statistics
from edgemed.training.evaluation.answers import Answers
from edgemed.training.evaluation.document import Bin, BrierParts, Calibrated
from edgemed.training.evaluation.sample import Sample, figure

__all__ = ["Compared", "calibrated", "compared", "refitted"]

FOLDS = 5

Method = Literal["none", "in force", "platt", "temperature", "isotonic"]


class _Map(Protocol):
    def scores(self, logits: ArrayLike) -> NDArray[np.float64]: ...


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Calibrations of the same images, and the maps that could not be fitted, a sentence each."""

    tables: tuple[Calibrated, ...]
    failures: tuple[str, ...]

    @property
    def in_force(self) -> Calibrated:
        """The calibration that the model decides with."""
        return next(table for table in self.tables if table.method == "in force")


_FITS: dict[Method, Callable[[ArrayLike, ArrayLike], _Map]] = {
    "platt": statistics.platt,
    "temperature": statistics.temperature,
    "isotonic": statistics.isotonic,
}


def compared(
    sample: Sample, *, in_force: str, validation: Answers | None, keep_together: NDArray[np.str_] | None
) -> Compared:
    """Return the calibrations of the evaluated images, the bare logit first and the one in force second.

    Args:
        sample: what is evaluated; its scores are those in force.
        in_force: where the map in force was fitted, in words.
        validation: answers that the refitted maps are fitted on; None leaves them out.
        keep_together: (n,) what no two folds may share, where the evaluated images are validation: then the maps are
            fitted on folds of the sample itself. None where they are not.
    """
    bare = statistics.sigmoid(sample.abnormality)
    tables = [
        calibrated("none", bare, sample.abnormal, fitted_on="nothing"),
        calibrated("in force", sample.scores, sample.abnormal, fitted_on=in_force),
    ]
    failures = []
    for method in _FITS:
        try:
            found = _scores(method, sample, validation=validation, keep_together=keep_together)
        except ValueError as err:
            failures.append(f"The {method} calibration cannot be fitted on validation: {err}.")
            continue
        if found is not None:
            scores, words = found
            tables.append(calibrated(method, scores, sample.abnormal, fitted_on=words))
    return Compared(tables=tuple(tables), failures=tuple(failures))


def calibrated(
    method: Method, scores: NDArray[np.float64], abnormal: NDArray[np.bool_], *, fitted_on: str
) -> Calibrated:
    """Return how far scores are probabilities."""
    return Calibrated(
        method=method,
        fitted_on=fitted_on,
        brier=statistics.brier(abnormal, scores),
        brier_parts=_parts(abnormal, scores),
        expected_calibration_error=statistics.expected_calibration_error(abnormal, scores),
        bins=tuple(
            Bin(
                low=one.low,
                high=one.high,
                n=one.n,
                mean_score=one.mean_score,
                observed=None if one.observed is None else figure(one.observed),
            )
            for one in statistics.reliability(abnormal, scores)
        ),
    )


def _parts(abnormal: NDArray[np.bool_], scores: NDArray[np.float64]) -> BrierParts:
    """Return what the Brier score is made of."""
    parts = statistics.brier_parts(abnormal, scores)
    return BrierParts(reliability=parts.reliability, resolution=parts.resolution, uncertainty=parts.uncertainty)


def refitted(
    method: Method, logits: NDArray[np.float64], abnormal: NDArray[np.bool_], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the score of each image by a map that was fitted on the other folds, (n,).

    Raises:
        ValueError: a map cannot be fitted.
    """
    scores = np.empty(len(logits))
    for fold in np.unique(folds):
        held = folds == fold
        scores[held] = _FITS[method](logits[~held], abnormal[~held]).scores(logits[held])
    return scores


def _scores(
    method: Method, sample: Sample, *, validation: Answers | None, keep_together: NDArray[np.str_] | None
) -> tuple[NDArray[np.float64], str] | None:
    """Return the scores of a refitted map, and on what it was fitted; None where there is nothing to fit on."""
    if keep_together is not None:
        folds = statistics.folds(sample.abnormal, keep_together, FOLDS, rng=np.random.default_rng(sample.seed))
        if folds is None:
            return None
        scores = refitted(method, sample.abnormality, sample.abnormal, folds)
        return scores, f"validation, in {FOLDS} folds of whole patients, each scored by the fit of the others"
    if validation is None:
        return None
    fitted = _FITS[method](validation.abnormality, validation.abnormal)
    return fitted.scores(sample.abnormality), f"validation, {len(validation)} images"
