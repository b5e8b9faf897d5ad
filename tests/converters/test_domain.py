from __future__ import annotations

import numpy as np
import pytest

from converters import domain
from edgemed.runtime import decision


def test_exposures_change_grey_levels_and_move_nothing(rng: np.random.Generator) -> None:
    planes = np.full((40, 16, 16), 120, np.uint8)
    planes[:, 4:12, 4:12] = 180
    found = domain.exposures(planes, rng=rng)
    assert (found.shape, found.dtype) == (planes.shape, np.uint8)
    inner, outer = found[:, 6:10, 6:10].mean(axis=(1, 2)), found[:, :2].mean(axis=(1, 2))
    assert (inner > outer + 20).all()
    assert inner.std() > 5
    assert not np.array_equal(found, domain.exposures(planes, rng=rng))


def test_exposures_repeat_with_their_generator() -> None:
    planes = np.arange(2 * 16 * 16, dtype=np.uint16).reshape(2, 16, 16).astype(np.uint8)
    first, second = (domain.exposures(planes, rng=np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)


def test_one_in_a_hundred_validation_images_lies_beyond_the_limit(rng: np.random.Generator) -> None:
    pytest.importorskip("sklearn", reason="needs the train extra")
    train, validation = rng.gamma(2.0, size=(500, 6)), rng.gamma(2.0, size=(300, 6))
    gauge = decision.OodGauge(domain.limits(train, validation, lsb=0.01))
    distances = np.array([gauge.distance(embedding) for embedding in validation])
    assert np.count_nonzero(distances > 1.0) == 2  # of 300: the 99th percentile itself is in domain
    assert gauge.distance(np.full(6, 400.0)) > 3


@pytest.mark.parametrize("lsb", [None, 0.02], ids=["as they are", "by their roots"])
def test_distance_is_mahalanobis_of_the_shrunk_covariance(rng: np.random.Generator, lsb: float | None) -> None:
    covariance = pytest.importorskip("sklearn.covariance", reason="needs the train extra")
    train = rng.gamma(2.0, size=(200, 5)) @ rng.random((5, 5))
    limits = domain.limits(train, train, lsb=lsb)
    features = train if lsb is None else np.sqrt(train + lsb) - np.sqrt(lsb)
    expected = np.sqrt(covariance.LedoitWolf().fit(features).mahalanobis(features[:10]))
    gauge = decision.OodGauge(limits)
    found = [gauge.distance(embedding) * limits.limit for embedding in train[:10]]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
