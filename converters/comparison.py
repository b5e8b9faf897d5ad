"""The float and the converted model side by side on validation: the figures that the parity gate judges.

compared = comparison.compare(labels, of_float, converted, parts=parts, gate=gate, mode=Mode.QAT)
flipped = comparison.flips(labels, names, of_float, converted, parts=parts)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from converters import parity
from converters.division import Parts
from converters.gate import Gate
from converters.mode import Mode
from converters.parity import Area, Areas, Flip, Interval, McNemar, Parity, Part, Point, Share, TopLabel
from edgemed import statistics

__all__ = ["Decided", "Named", "compare", "flips"]

_RESAMPLES = 2000
_SEED = 20240229  # which patients a resample draws


@dataclass(frozen=True, kw_only=True, eq=False)
class Decided:
    """Calibrated scores (n,) in [0, 1] of one model on all of validation, and the threshold it would be deployed with.

    Calibration and threshold are from the operating part.
    """

    scores: NDArray[np.float64]
    threshold: float

    @property
    def alerts(self) -> NDArray[np.bool_]:
        """Which images are abnormal to this model, (n,)."""
        found: NDArray[np.bool_] = self.scores >= self.threshold
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Named:
    """Labels (n,) of all of validation, by their place, and by both models' largest logit."""

    labels: NDArray[np.int64]
    of_float: NDArray[np.int64]
    converted: NDArray[np.int64]


def compare(
    labels: NDArray[np.int64],
    of_float: Decided,
    converted: Decided,
    *,
    parts: Parts,
    gate: Gate,
    mode: Mode,
    groups: Sequence[str] | None = None,
    named: Named | None = None,
) -> Parity:
    """Return how the converted model's answers to validation images compare with the float model's.

    Args:
        labels: (n,) of all of validation, 0 normal and 1 abnormal; at least two of each in each part.
        of_float: decisions of the float model, image by image.
        converted: likewise.
        parts: of validation.
        gate: what is promised and allowed.
        mode: of the conversion.
        groups: (n,) patients, or what else was kept together; None where nothing is known.
        named: labels by both models; None of models of one logit.
    """
    keys = None if groups is None else np.array(groups, dtype=np.str_)
    flipped = _flipped(of_float, converted, parts)
    measured = Parity(
        schema=2,
        split="validation",
        mode=mode,
        operating=_part(labels, keys, parts.operating),
        gate=_part(labels, keys, parts.gate),
        areas=_areas(labels, of_float, converted, keys, parts.gate),
        margin=gate.margin,
        promised=gate.criterion.promised,
        promise="sensitivity" if gate.criterion.specificity is None else "specificity",
        point_float=_point(labels, of_float, parts.gate),
        point_converted=_point(labels, converted, parts.gate),
        mcnemar=_mcnemar(labels, of_float, converted, parts.gate),
        significance=gate.significance,
        flipped=len(flipped),
        to_alert=int(converted.alerts[flipped].sum()),
        to_clear=int((~converted.alerts[flipped]).sum()),
        whole=_areas(labels, of_float, converted, keys, np.arange(len(labels))),
        labels=None if named is None else _top(named, parts.gate),
        passed=True,
    )
    return msgspec.structs.replace(measured, passed=not parity.failures(measured))


def flips(
    labels: NDArray[np.int64], names: Sequence[str], of_float: Decided, converted: Decided, *, parts: Parts
) -> tuple[Flip, ...]:
    """Return the images of the gate part that the two models decide differently, in the order of validation."""
    return tuple(
        Flip(
            name=names[index],
            abnormal=bool(labels[index]),
            score_float=float(of_float.scores[index]),
            score_converted=float(converted.scores[index]),
            alert=bool(converted.alerts[index]),
        )
        for index in _flipped(of_float, converted, parts)
    )


def _flipped(of_float: Decided, converted: Decided, parts: Parts) -> NDArray[np.int64]:
    differs = of_float.alerts[parts.gate] != converted.alerts[parts.gate]
    found: NDArray[np.int64] = parts.gate[differs]
    return found


def _part(labels: NDArray[np.int64], keys: NDArray[np.str_] | None, chosen: NDArray[np.int64]) -> Part:
    return Part(
        n=len(chosen),
        n_abnormal=int(labels[chosen].sum()),
        n_groups=None if keys is None else len(np.unique(keys[chosen])),
    )


def _areas(
    labels: NDArray[np.int64],
    of_float: Decided,
    converted: Decided,
    keys: NDArray[np.str_] | None,
    chosen: NDArray[np.int64],
) -> Areas:
    truth, first, second = labels[chosen], of_float.scores[chosen], converted.scores[chosen]
    pair = statistics.paired_delong(truth, first, second)
    return Areas(
        of_float=_area(statistics.delong(truth, first)),
        converted=_area(statistics.delong(truth, second)),
        difference=Area(
            value=pair.difference,
            ci95=pair.ci95,
            ci95_by_patient=None if keys is None else _by_patient(truth, first, second, keys[chosen]),
        ),
    )


def _by_patient(
    truth: NDArray[np.int64], first: NDArray[np.float64], second: NDArray[np.float64], keys: NDArray[np.str_]
) -> Interval | None:
    """Return the interval of the difference of two areas over resamples of whole patients."""
    if len(np.unique(keys)) == len(keys):
        return None

    def difference(labels: NDArray[np.bool_], places: NDArray[np.float64]) -> float:
        # The resample carries places instead of scores, so that both models see the same draw.
        drawn = places.astype(np.int64)
        return statistics.auc(labels, second[drawn]) - statistics.auc(labels, first[drawn])

    places = np.arange(len(truth), dtype=np.float64)
    rng = np.random.default_rng(_SEED)
    return statistics.bootstrap(truth, places, difference, rng=rng, resamples=_RESAMPLES, groups=keys).ci95


def _area(estimate: statistics.Estimate) -> Area:
    return Area(value=estimate.value, ci95=estimate.ci95)


def _point(labels: NDArray[np.int64], decided: Decided, chosen: NDArray[np.int64]) -> Point:
    rates = statistics.rates(labels[chosen], decided.scores[chosen], decided.threshold)
    return Point(
        threshold=decided.threshold,
        sensitivity=_share(rates.true_positives, rates.true_positives + rates.false_negatives),
        specificity=_share(rates.true_negatives, rates.true_negatives + rates.false_positives),
    )


def _top(named: Named, chosen: NDArray[np.int64]) -> TopLabel:
    of_float, converted, truth = named.of_float[chosen], named.converted[chosen], named.labels[chosen]
    return TopLabel(
        agreed=_share(int((of_float == converted).sum()), len(chosen)),
        right_float=_share(int((of_float == truth).sum()), len(chosen)),
        right_converted=_share(int((converted == truth).sum()), len(chosen)),
    )


def _share(count: int, n: int) -> Share:
    found = statistics.wilson(count, n)
    return Share(count=count, n=n, value=found.value, ci95=found.ci95)


def _mcnemar(labels: NDArray[np.int64], of_float: Decided, converted: Decided, chosen: NDArray[np.int64]) -> McNemar:
    truth = labels[chosen] == 1
    right_float, right_converted = of_float.alerts[chosen] == truth, converted.alerts[chosen] == truth
    b, c = int((right_float & ~right_converted).sum()), int((right_converted & ~right_float).sum())
    return McNemar(only_float=b, only_converted=c, p_value=statistics.mcnemar(b, c))
