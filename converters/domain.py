"""The out-of-distribution gate of a converted model: what its embeddings of the images it was trained on look like.

The domain is train under other exposures: grey levels, sharpness and noise vary from unit to unit and are no reason to
refuse, turned or inverted pictures are. So each train plane enters as it is and once more with its exposure changed.

    limits = domain.limits(of_train, of_validation, lsb=reference.scales["embedding"])

Sources: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
NeurIPS 2018, with one class; Ledoit and Wolf 2004 for the shrinkage.
"""

from __future__ import annotations

import math

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed.runtime import decision

__all__ = ["exposures", "limits"]

_IN_DOMAIN_REFUSED = 0.01  # design: the limit that 1 % of in-domain images exceed
# Twice as much let a third of X-rays pass whose brighter half was saturated; without, fewer adult X-rays passed.
_GAMMA, _CONTRAST, _BRIGHTNESS = 0.2, 0.18, 0.06
_BLUR, _NOISE = 0.5, 0.03


def exposures(planes: NDArray[np.uint8], *, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return each plane (n, H, W) as another exposure of the same scene; nothing is moved.

    Grey levels g in 0..1 become g ** exp(u), then are scaled about their mean by exp(v) and shifted by w; u uniform in
    +-0.2, v in +-0.18, w in +-0.06. Half of the planes are blurred by a 3x3 Gaussian; all get Gaussian noise of a
    standard deviation up to 0.03.
    """
    return np.stack([_exposed(plane, rng) for plane in planes])


def limits(
    train: NDArray[np.float64], validation: NDArray[np.float64], *, lsb: float | None
) -> decision.OutOfDistribution:
    """Return the limit of the Mahalanobis distance of embeddings.

    Args:
        train: (n, C) the converted model's embeddings of the domain, dequantized; they give mean and covariance
            (Ledoit-Wolf shrinkage, so that n may be near C).
        validation: (m, C) likewise; 1 % of them lie beyond the limit.
        lsb: real units of one LSB of the embedding; None of a float model, whose features count as they are.
    """
    from sklearn.covariance import LedoitWolf

    fitted = LedoitWolf().fit(train if lsb is None else decision.rooted(train, lsb))
    # precision = L L^T, so the distance is the length of L^T (x - mean).
    unit = decision.OutOfDistribution(
        size=int(train.shape[1]),
        mean=decision.encode_floats(fitted.location_),
        whitening=decision.encode_floats(np.linalg.cholesky(fitted.precision_).T),
        limit=1.0,
        offset=lsb,
    )
    gauge = decision.OodGauge(unit)
    distances = [gauge.distance(embedding) for embedding in validation]
    limit = float(np.quantile(distances, 1.0 - _IN_DOMAIN_REFUSED, method="higher"))
    return msgspec.structs.replace(unit, limit=limit)


def _exposed(plane: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    levels = (np.arange(256) / 255) ** math.exp(rng.uniform(-_GAMMA, _GAMMA))
    mean = float(levels[plane].mean())
    gain, shift = math.exp(rng.uniform(-_CONTRAST, _CONTRAST)), rng.uniform(-_BRIGHTNESS, _BRIGHTNESS)
    real = (((levels - mean) * gain + mean + shift) * 255).astype(np.float32)[plane]
    if rng.random() < _BLUR:
        real = np.asarray(cv2.GaussianBlur(real, (3, 3), 0))
    noise = rng.standard_normal(plane.shape, dtype=np.float32) * np.float32(255 * rng.uniform(0.0, _NOISE))
    return np.clip(np.rint(real + noise), 0, 255).astype(np.uint8)
