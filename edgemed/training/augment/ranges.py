"""How far each random change may go, as a recipe says it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ["Augmentation"]

Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class Augmentation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ranges of the random changes; 0 turns one off.

    Attributes:
        shift: largest shift of each axis, as a share of the side.
        rotation_deg: largest rotation to either side.
        zoom: the picture is scaled by exp(u), u uniform in +-zoom.
        stretch: width over height changes by exp(u), u uniform in +-stretch.
        flip: probability of a left-right flip.
        crop: each of the four sides loses up to this share of the picture, which is then stretched to its old size.
        elastic: a smooth field moves each point by up to this share of the side.
        brightness: grey levels are shifted by up to this share of 255.
        contrast: grey levels are scaled about their mean by exp(u), u uniform in +-contrast.
        gamma: grey levels g in 0..1 become g ** exp(u), u uniform in +-gamma.
        tone: a random rising curve of five pieces, whose slopes differ by up to exp(+-3 tone), replaces the levels.
        equalize: the levels move towards an even histogram by a share uniform in 0..equalize.
        clahe: probability of contrast-limited equalisation by tiles.
        shading: a smooth field multiplies the levels by exp(u), u uniform in +-shading.
        gain: a curve over depth (rows) multiplies the levels by exp(u), u uniform in +-gain, as time-gain controls do.
        blur: probability of a 3x3 or 5x5 Gaussian blur.
        sharpen: an unsharp mask with an amount uniform in 0..3 sharpen.
        noise: standard deviation of Gaussian noise is uniform in 0..this share of 255.
        speckle: standard deviation of noise that multiplies the levels is uniform in 0..speckle; grains of 1 or 2
            pixels.
        erase: probability that one rectangle of 2 to 15 % of the area is filled with its mean.
        border: probability of a dark frame, each side up to 15 % wide, as a collimator or a scan's edge leaves it.
        marks: probability of one to three bright letters, digits or calliper crosses.
        resolution: the picture is reduced to as little as ``1 - resolution`` of its side and enlarged again.
        jpeg: probability of a JPEG file of quality 20 to 80 in between.
    """

    shift: Share = 0.0
    rotation_deg: Annotated[float, Meta(ge=0.0, le=180.0)] = 0.0
    zoom: Share = 0.0
    stretch: Share = 0.0
    flip: Share = 0.0
    crop: Annotated[float, Meta(ge=0.0, le=0.4)] = 0.0
    elastic: Annotated[float, Meta(ge=0.0, le=0.2)] = 0.0
    brightness: Share = 0.0
    contrast: Share = 0.0
    gamma: Share = 0.0
    tone: Share = 0.0
    equalize: Share = 0.0
    clahe: Share = 0.0
    shading: Share = 0.0
    gain: Share = 0.0
    blur: Share = 0.0
    sharpen: Share = 0.0
    noise: Share = 0.0
    speckle: Share = 0.0
    erase: Share = 0.0
    border: Share = 0.0
    marks: Share = 0.0
    resolution: Annotated[float, Meta(ge=0.0, le=0.9)] = 0.0
    jpeg: Share = 0.0
