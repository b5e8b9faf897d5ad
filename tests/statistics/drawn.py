"""Labelled scores that properties are tested on."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


@st.composite
def labelled_scores(draw: st.DrawFn, *, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Labels with at least ``least`` of each class, and scores on a coarse grid so that ties are common."""
    abnormal, normal = draw(st.integers(least, 12)), draw(st.integers(least, 12))
    labels = np.array(draw(st.permutations([1] * abnormal + [0] * normal)))
    scores = draw(hnp.arrays(np.float64, labels.size, elements=st.integers(0, 12).map(lambda k: k / 12)))
    return labels, scores


def noisy(rng: np.random.Generator, n: int, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Binormal scores of equal variance, the classes ``gap`` apart."""
    labels = rng.integers(0, 2, n)
    return labels, rng.normal(size=n) + gap * labels
