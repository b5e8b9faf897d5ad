"""``out_of_fold.json``: what fold models answered to the images that they were not trained on.

Every image of train and validation stands there once, without its name. No model saw the images it is listed with, so
that thresholds may be chosen on all of them; training writes the document, conversion reads it.

    found = out_of_fold.read(Path("runs/cxr/out_of_fold.json"))
    images = out_of_fold.digest((train, validation))
    out_of_fold.require_own(found, recipe="chest-xray", labels=("normal", "pneumonia"), images=images)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgemed import files, schema
from edgemed.errors import ConfigError
from edgemed.imaging.labelled import LabelledPlanes

__all__ = ["FILE", "Answer", "OutOfFold", "digest", "parse", "read", "require_own"]

FILE = "out_of_fold.json"
_LIMIT_BYTES = 1 << 28


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one fold model answered to one image.

    Attributes:
        group: of the patient, or of near-duplicates, that the image belongs to; a hash, never a key of the source.
        label: one of the document's.
        abnormal: the label is a finding.
        fold: from 0; its model was trained on the other folds.
        logit: of abnormal against normal; of a model of several labels their abnormality.
    """

    group: Annotated[str, Meta(pattern=r"^[0-9a-f]{8,64}\Z")]
    label: str
    abnormal: bool
    fold: Annotated[int, Meta(ge=0, lt=1000)]
    logit: Annotated[float, Meta(ge=-1e30, le=1e30)]


class OutOfFold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document.

    Attributes:
        recipe: that trained the folds, by name.
        labels: of the recipe.
        images: `digest` of the planes and labels.
        folds: how many.
        answers: one for each image of train and validation, in any order.
    """

    schema: Literal[1]
    recipe: str
    labels: tuple[str, ...]
    images: str
    folds: Annotated[int, Meta(ge=2, le=1000)]
    answers: Annotated[tuple[Answer, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        for fold in range(self.folds):
            found = [answer.abnormal for answer in self.answers if answer.fold == fold]
            if not any(found) or all(found):
                raise ValueError(
                    f"answers: fold {fold}: expected normal and abnormal images, got {found.count(False)} normal and "
                    f"{found.count(True)} abnormal; train with fewer folds"
                )
        if most := sorted({answer.fold for answer in self.answers if answer.fold >= self.folds}):
            raise ValueError(f"answers: fold {most[0]}: expected folds below {self.folds}")

    @property
    def logits(self) -> NDArray[np.float64]:
        """Return the logit of each answer, (n,)."""
        return np.array([answer.logit for answer in self.answers])

    @property
    def abnormal(self) -> NDArray[np.int64]:
        """Return 0 normal or 1 abnormal of each answer, (n,)."""
        return np.array([answer.abnormal for answer in self.answers], dtype=np.int64)

    @property
    def fold_of(self) -> NDArray[np.int64]:
        """Return the fold of each answer, (n,)."""
        return np.array([answer.fold for answer in self.answers], dtype=np.int64)

    @property
    def groups(self) -> NDArray[np.str_]:
        """Return the group of each answer, (n,)."""
        return np.array([answer.group for answer in self.answers], dtype=np.str_)


def digest(parts: Iterable[LabelledPlanes]) -> str:
    """Return one digest for the planes and labels of several parts, however they are ordered and divided."""
    found = sorted(
        hashlib.sha256(f"{label}\n".encode() + plane.tobytes()).digest()
        for part in parts
        for plane, label in zip(part.planes, part.labels, strict=True)
    )
    return "sha256:" + hashlib.sha256(b"".join(found)).hexdigest()


def parse(raw: bytes, *, source: str) -> OutOfFold:
    """Return the document as a value.

    Raises:
        ConfigError: not JSON, an unknown or missing key, a wrong type, or a fold without normal or abnormal images.
    """
    return schema.decode_json(raw, OutOfFold, source=source)


def read(path: Path) -> OutOfFold:
    """Return the document in a file.

    Raises:
        ConfigError: as `parse`, or the file cannot be read.
    """
    return parse(files.read_bounded(path, limit_bytes=_LIMIT_BYTES, error=ConfigError), source=str(path))


def require_own(found: OutOfFold, *, recipe: str, labels: Sequence[str], images: str) -> None:
    """Return when a document is about the model and the images that are converted.

    Args:
        found: the document.
        recipe: name of the recipe in force.
        labels: of that recipe.
        images: `digest` of its train and validation.

    Raises:
        ConfigError: it is of another recipe or of other images, or one of the labels has no answer.
    """
    if found.recipe != recipe:
        raise ConfigError(f"{FILE}: recipe: expected {recipe!r}, got {found.recipe!r}; give the folds of this recipe")
    if found.labels != tuple(labels):
        raise ConfigError(
            f"{FILE}: labels: expected {', '.join(labels)}, got {', '.join(found.labels)}; train the folds again"
        )
    answered = {answer.label for answer in found.answers}
    if missing := [label for label in labels if label not in answered]:
        raise ConfigError(
            f"{FILE}: answers: expected images of every label, got none of {', '.join(map(repr, missing))}; train "
            "the folds again"
        )
    if found.images != images:
        raise ConfigError(
            f"{FILE}: images: the folds were trained on other images, labels or preprocessing ({found.images}, now "
            f"{images}); train the folds again, or give the data that they were trained on with --data"
        )
