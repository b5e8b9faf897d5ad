"""The words of ``preprocessing.json``: each step as a value, with its formula, its ranges and how exact it is.

Rules: a step that is ``exact`` gives the same bytes on every platform; the others carry ``tolerance_gray``, the
largest difference between platforms in grey levels. Arithmetic lives in `geometry` and `intensity`.

    Contrast(method=Percentile(low_percent=0.5, high_percent=99.5))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta

__all__ = [
    "Bilateral",
    "Clahe",
    "Contrast",
    "CropBorder",
    "Denoise",
    "Equalize",
    "Gaussian",
    "Median",
    "NonLocalMeans",
    "Percentile",
    "Resize",
    "Sharpen",
    "Step",
    "Unsharp",
]

Percent = Annotated[float, Meta(ge=0.0, le=100.0)]
SigmaPx = Annotated[float, Meta(ge=0.3, le=10.0)]


class _Method(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """One way of doing a step; integer arithmetic of fixed order, unless a subclass says otherwise."""

    exact: ClassVar[bool] = True
    tolerance_gray: ClassVar[int] = 0


class Median(_Method, frozen=True, kw_only=True, tag="median"):
    """Replace each pixel by the median of its size x size neighbours; edges replicate."""

    size: Literal[3, 5]


class Gaussian(_Method, frozen=True, kw_only=True, tag="gaussian"):
    """Replace each pixel by sum(w * neighbour), w ~ exp(-d^2 / (2 sigma^2)) in fixed point, d in pixels.

    Edges reflect without repeating the last pixel. ``sigma`` is in pixels, 0.3..10.
    """

    size: Literal[3, 5, 7]
    sigma: SigmaPx


class Bilateral(_Method, frozen=True, kw_only=True, tag="bilateral"):
    """Gaussian mean over a disc, weighted by closeness in place and in grey level.

    w ~ exp(-d^2 / (2 sigma_space^2) - g^2 / (2 sigma_gray^2)), d in pixels and g in grey levels. The sums are
    float32 in an order that depends on the vector unit: not exact.
    """

    exact: ClassVar[bool] = False
    tolerance_gray: ClassVar[int] = 2

    diameter: Literal[3, 5, 7, 9]
    sigma_gray: Annotated[float, Meta(ge=1.0, le=128.0)]
    sigma_space: SigmaPx


class NonLocalMeans(_Method, frozen=True, kw_only=True, tag="non_local_means"):
    """Mean over a search x search window, weighted by how alike the template x template patches are.

    w ~ exp(-mean squared patch difference / strength^2), in fixed point. Time grows with
    pixels * search^2, to a second for a megapixel: put it after `Resize` where a latency budget counts.
    Source: Buades, Coll, Morel, IPOL 1 (2011), doi:10.5201/ipol.2011.bcm_nlm.
    """

    strength: Annotated[float, Meta(ge=1.0, le=50.0)]
    template: Literal[3, 5, 7]
    search: Literal[7, 9, 11, 13, 15, 17, 19, 21]


class Percentile(_Method, frozen=True, kw_only=True, tag="percentile"):
    """Stretch the levels between two percentiles over 0..255, in integers.

    With N pixels, C(v) of them at or below v, and low, high in thousandths of a percent (rounded, ties to even):
    a = least v with C(v) > floor(N * low), b = least v with C(v) >= ceil(N * high);
    result = 0 up to a, 255 from b, else floor((255 * (v - a) + floor((b - a) / 2)) / (b - a)).
    Where a = b there is no contrast to stretch and the levels stay (the top 8 bits of a deeper frame).
    """

    low_percent: Percent
    high_percent: Percent

    def __post_init__(self) -> None:
        if self.high_percent - self.low_percent < 1.0:
            raise ValueError(
                f"high_percent: expected at least 1 above low_percent {self.low_percent}, got {self.high_percent}"
            )


class Equalize(_Method, frozen=True, kw_only=True, tag="equalize"):
    """Histogram equalisation: result = round(255 * (C(v) - C(v0)) / (N - C(v0))), v0 the lowest level present."""


class Clahe(_Method, frozen=True, kw_only=True, tag="clahe"):
    """Equalise each of tiles x tiles regions with a clipped histogram, and blend between their centres.

    A bin holds at most clip_limit * (pixels of a tile / 256); the excess spreads over all bins. The blend is
    float32: not exact. Source: Zuiderveld, Graphics Gems IV (1994), p. 474.
    """

    exact: ClassVar[bool] = False
    tolerance_gray: ClassVar[int] = 2

    clip_limit: Annotated[float, Meta(ge=1.0, le=40.0)]
    tiles: Annotated[int, Meta(ge=2, le=16)]


class Unsharp(_Method, frozen=True, kw_only=True, tag="unsharp"):
    """Add the difference to a Gaussian blur, in integers.

    With d = v - gaussian(v; size, sigma) and q = round(256 * amount):
    result = clip(v + sign(d) * floor((q * |d| + 128) / 256), 0, 255), the added part limited to 255.
    """

    size: Literal[3, 5, 7, 9]
    sigma: SigmaPx
    amount: Annotated[float, Meta(gt=0.0, le=4.0)]


class _Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="step"):
    """One entry of the list."""


class _StepByMethod(_Step, frozen=True, kw_only=True):
    """A step with a choice of methods; the method says how exact it is."""

    if TYPE_CHECKING:
        method: _Method

    @property
    def exact(self) -> bool:
        """The same bytes come out on every platform."""
        return self.method.exact

    @property
    def tolerance_gray(self) -> int:
        """Largest difference between platforms, in grey levels."""
        return self.method.tolerance_gray


class CropBorder(_Step, frozen=True, kw_only=True, tag="crop_border"):
    """Remove floor(side * fraction) pixels at both ends of each axis; fraction 0..0.45 in steps of 0.0001."""

    exact: ClassVar[bool] = True
    tolerance_gray: ClassVar[int] = 0

    fraction: Annotated[float, Meta(ge=0.0, le=0.45)]


class Denoise(_StepByMethod, frozen=True, kw_only=True, tag="denoise"):
    """Smooth by ``method``."""

    method: Median | Gaussian | Bilateral | NonLocalMeans


class Contrast(_StepByMethod, frozen=True, kw_only=True, tag="contrast"):
    """Spread the grey levels by ``method``."""

    method: Percentile | Equalize | Clahe


class Sharpen(_StepByMethod, frozen=True, kw_only=True, tag="sharpen"):
    """Emphasise edges by ``method``."""

    method: Unsharp


class Resize(_Step, frozen=True, kw_only=True, tag="resize"):
    """Bring the picture to the size of the plane.

    Attributes:
        method: ``linear`` interpolates between the four nearest pixels in fixed point. ``area`` averages: with
            k = max(1, round(in / out)) for each axis, ties up, it goes linearly to k * out and takes the mean of
            each k x k box. Use ``area`` to shrink: ``linear`` skips pixels there.
        fit: ``stretch`` fills the plane and changes proportions; ``letterbox`` keeps them: the longer side
            fills the plane, the other becomes max(1, round(side * scale)), ties up, centred (the odd pixel goes
            below and right), the rest 0.
    """

    exact: ClassVar[bool] = True
    tolerance_gray: ClassVar[int] = 0

    method: Literal["area", "linear"]
    fit: Literal["stretch", "letterbox"]


Step: TypeAlias = CropBorder | Denoise | Contrast | Sharpen | Resize
