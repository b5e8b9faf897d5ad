from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgemed.training import repeats

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] < pair[1]), max_size=20)


def test_of_images_that_show_the_same_the_first_stays() -> None:
    found = repeats.within([(0, 2), (0, 4), (2, 4), (1, 3)], np.zeros(5, np.int64), range(5))
    assert found == repeats.Repeats(frozenset({2, 3, 4}), frozenset())


def test_of_a_chain_only_what_shows_the_same_as_one_that_stays_is_repeated() -> None:
    found = repeats.within([(0, 1), (1, 2)], np.zeros(3, np.int64), range(3))
    assert found.repeated == {1}


def test_images_of_two_labels_that_show_the_same_both_conflict() -> None:
    found = repeats.within([(0, 1), (0, 2), (1, 2)], np.array([0, 0, 1]), range(3))
    assert found == repeats.Repeats(frozenset(), frozenset({0, 1, 2}))


def test_pair_with_an_image_outside_is_passed_over() -> None:
    assert repeats.within([(0, 1)], np.array([0, 1]), [1]) == repeats.Repeats(frozenset(), frozenset())


def test_like_names_the_side_that_is_not_the_others() -> None:
    assert repeats.like([(0, 5), (1, 2), (3, 4), (4, 5)], others=[4, 5]) == {0, 3}


@given(PAIRS, st.lists(st.integers(0, 1), min_size=10, max_size=10))
def test_what_stays_holds_no_pair_and_every_repeated_image_has_one_that_stays(
    pairs: list[tuple[int, int]], labels: list[int]
) -> None:
    found = repeats.within(pairs, np.array(labels), range(10))
    stays = set(range(10)) - found.repeated - found.conflicting
    assert not [pair for pair in pairs if stays.issuperset(pair)]
    for index in found.repeated:
        assert any(index in pair and stays.intersection(pair) for pair in pairs)
