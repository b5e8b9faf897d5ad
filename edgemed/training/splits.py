"""What a recipe says about splits, and how many images did not stay where their split had them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["Prepared", "Splits"]

Text = Annotated[str, Meta(min_length=1, max_length=128)]


class Splits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which split values mean what.

    Attributes:
        train, test: values of the source's split.
        validation: likewise; None cuts ``validation_fraction`` of the train groups instead.
        near_duplicate_correlation: images whose 28x28 thumbnails correlate above it form one group; None for off.
        deduplicate: of train images that show the same, ``exact`` pixel for pixel or ``near``, the first stays, and
            none where their labels differ; None keeps every one.
        straddling: what becomes of a train image whose group lies in a given validation split: ``move`` it there, or
            ``drop`` it, which leaves validation as it was published.
        like_test: ``drop`` images of train and validation that show the same as a test image, nearly where
            ``near_duplicate_correlation`` is given; ``keep`` never opens a test image.
    """

    train: Text
    validation: Text | None
    test: Text
    validation_fraction: Annotated[float, Meta(gt=0.0, le=0.5)] | None = None
    near_duplicate_correlation: Annotated[float, Meta(gt=0.5, lt=1.0)] | None = None
    deduplicate: Literal["exact", "near"] | None = None
    straddling: Literal["move", "drop"] = "move"
    like_test: Literal["keep", "drop"] = "keep"

    def __post_init__(self) -> None:
        if (self.validation is None) == (self.validation_fraction is None):
            raise ValueError("expected either validation or validation_fraction, not both and not neither")
        if self.deduplicate == "near" and self.near_duplicate_correlation is None:
            raise ValueError("near_duplicate_correlation: required by deduplicate: near; it says what is near")
        if self.straddling == "drop" and self.validation is None:
            raise ValueError("straddling: a validation that is cut from train takes whole groups, nothing straddles")


class Prepared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many images did not stay where the source's split had them.

    Attributes:
        moved_to_validation: train images that followed their group.
        straddling: train images dropped because their group lies in validation.
        repeated: train images dropped because an earlier one shows the same.
        conflicting: train images dropped because one of another label shows the same.
        like_test: train and validation images dropped because a test image shows the same.
        unreadable: images skipped because they cannot be read.
    """

    moved_to_validation: int = 0
    straddling: int = 0
    repeated: int = 0
    conflicting: int = 0
    like_test: int = 0
    unreadable: int = 0

    def notes(self) -> tuple[str, ...]:
        """Return a line for each count above zero."""
        words = {
            "moved_to_validation": "train images moved to validation with their patient or near-duplicate",
            "straddling": "train images dropped: their patient or a near-duplicate lies in validation",
            "repeated": "train images dropped: another train image shows the same",
            "conflicting": "train images dropped: an image of another label shows the same",
            "like_test": "train or validation images dropped: a test image shows the same",
            "unreadable": "images skipped: they cannot be read",
        }
        return tuple(f"{count} {words[name]}" for name, count in msgspec.to_builtins(self).items() if count)
