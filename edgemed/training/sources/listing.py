"""What every reader gives: the images of a data folder with their label values as they are written there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from edgemed.errors import ImageError
from edgemed.imaging.frame import Frame

__all__ = ["Listing", "single"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Listing:
    """Images before their label values are given a meaning; one entry an image in every tuple.

    Attributes:
        values: the label values.
        places: where each value stands, for messages.
        names, groups, splits, read, attributes: as in `edgemed.training.data.Dataset`.
    """

    names: tuple[str, ...]
    values: tuple[str, ...]
    places: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    read: Callable[[int], Frame]
    attributes: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)


def single(frames: Iterator[Frame], name: str) -> Frame:
    """Return the only frame: a label stands for one image, and which frame of a clip it means is not known."""
    frame = next(frames)
    if next(frames, None) is not None:
        raise ImageError(f"{name}: expected one frame for its label, got several; list the frames as images")
    return frame
