from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgemed import statistics


@given(
    patients=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 1)), min_size=8, max_size=40),
    share=st.floats(0.1, 0.9),
    seed=st.integers(0, 99),
)
def test_groups_are_taken_until_the_share_of_each_label_is_reached(
    patients: list[tuple[int, int]], share: float, seed: int
) -> None:
    labels = np.array([label for count, label in patients for _ in range(count)], dtype=np.int64)
    groups = np.array([f"p{number:02d}" for number, (count, _) in enumerate(patients) for _ in range(count)])
    chosen = statistics.groups_holding(labels, groups, share, rng=np.random.default_rng(seed))
    assert chosen <= set(groups)
    taken = np.isin(groups, sorted(chosen))
    for label in (0, 1):
        wanted = share * np.count_nonzero(labels == label)
        assert wanted <= np.count_nonzero(taken & (labels == label)) < wanted + 4  # the largest group has 4 images


def test_group_of_both_labels_counts_for_both() -> None:
    labels = np.array([0, 1, 0, 1])
    groups = np.array(["both", "both", "rest", "rest"])
    chosen = statistics.groups_holding(labels, groups, 0.5, rng=np.random.default_rng(0))
    assert len(chosen) == 1
