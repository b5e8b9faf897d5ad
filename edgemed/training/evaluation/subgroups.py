"""The same figures for the images with each value of an attribute: does the model serve every site, device, age?

table = subgroups.table(sample, values, attribute="site", threshold=0.41)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import ConfigError
from edgemed.schema import near_match
from edgemed.training.evaluation.document import FEW, Subgroup
from edgemed.training.evaluation.sample import Sample

__all__ = ["require_attributes", "table"]


def require_attributes(asked: Sequence[str], known: Mapping[str, Sequence[str | None]]) -> None:
    """Return when the data know every attribute that subgroups were asked for.

    Raises:
        ConfigError: they do not.
    """
    for name in asked:
        if name not in known:
            listed = f"one of {', '.join(sorted(known))}" if known else "none: the recipe's data name no attributes"
            raise ConfigError(f"--subgroup: expected {listed}, got {name!r}{near_match(name, sorted(known))}")


def table(sample: Sample, values: Sequence[str | None], *, attribute: str, threshold: float) -> tuple[Subgroup, ...]:
    """Return a row for each value, sorted, images without a value last.

    Args:
        sample: (n,) images.
        values: (n,) of the attribute.
        attribute: its name.
        threshold: of the active operating point.
    """
    known = sorted({value for value in values if value is not None})
    keys: list[str | None] = [*known, *([None] if None in values else [])]
    return tuple(
        _row(sample.part(np.array([value == key for value in values])), attribute, key, threshold) for key in keys
    )


def _row(part: Sample, attribute: str, value: str | None, threshold: float) -> Subgroup:
    rates = statistics.rates(part.abnormal, part.scores, threshold)
    right: NDArray[np.bool_] = (part.scores >= threshold) == part.abnormal
    abnormal = int(part.abnormal.sum())
    normal = len(part) - abnormal
    return Subgroup(
        attribute=attribute,
        value=value,
        n=len(part),
        n_abnormal=abnormal,
        few=min(abnormal or FEW, normal or FEW, len(part)) < FEW,
        auc=part.auc() if min(abnormal, normal) >= 2 else None,
        sensitivity=part.share(rates.sensitivity, right, part.abnormal),
        specificity=part.share(rates.specificity, right, ~part.abnormal),
    )
