"""A recipe: everything that decides what is trained and what a conversion must show, in one YAML file.

One for a model that was trained elsewhere has no ``model``; its ``fit`` says how the quantized twin is trained, and
``fit.epochs`` how many epochs the float model has behind it. The shipped ones lie in ``edgemed/training/recipes``; a
path to a file of the same form serves as well.

    recipe = recipe.load("chest-xray")
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgemed import files, schema
from edgemed.bundle.manifest import Modality, Name, Text
from edgemed.errors import ConfigError
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime.decision import QualityLimits
from edgemed.training import sources
from edgemed.training.augment import Augmentation
from edgemed.training.division import Splits
from edgemed.training.sources import Source

__all__ = [
    "Criterion",
    "Data",
    "Fit",
    "GateLimits",
    "Model",
    "Quantization",
    "Recipe",
    "available",
    "load",
    "network",
    "parse",
]

_LIMIT_BYTES = 1 << 18

Rate = Annotated[float, Meta(gt=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=1, le=100_000)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Data(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the images are, how they are divided, and under which terms they may be used.

    Attributes:
        licence: of the images.
        citation: how their authors ask to be named.
        limits: what the data does not show, for the model card.
    """

    source: Source
    splits: Splits
    licence: Text
    citation: Text
    limits: Text

    def __post_init__(self) -> None:
        if not sources.patients_known(self.source) and self.splits.near_duplicate_correlation is None:
            raise ValueError(
                "splits.near_duplicate_correlation: required where no patients are known: it is what keeps train and "
                "validation apart"
            )


class Model(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network of the zoo.

    Attributes:
        pretrained: weights to start from, relative to the data folder; None for random weights.
        pretrained_sha256: digest of that file.
    """

    family: Literal["mobilenet_v2"]
    cut: str
    alpha: Annotated[float, Meta(gt=0.0, le=2.0)]
    embedding: Annotated[int, Meta(ge=8, le=1280)]
    dropout: Annotated[float, Meta(ge=0.0, lt=1.0)]
    pretrained: str | None
    pretrained_sha256: str | None


class Fit(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Float training: AdamW, linear warm-up, then a cosine to zero."""

    seed: Annotated[int, Meta(ge=0, lt=1 << 31)]
    epochs: Count
    batch: Count
    learning_rate: Rate
    warmup_epochs: Annotated[float, Meta(ge=0.0)]
    weight_decay: Annotated[float, Meta(ge=0.0, le=1.0)]
    label_smoothing: Annotated[float, Meta(ge=0.0, lt=0.5)]


class Quantization(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Quantization-aware training after it; ``calibration`` train images set the first ranges."""

    epochs: Count
    learning_rate: Rate
    calibration: Count


class Criterion(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The operating point: the largest threshold whose sensitivity on validation is at least this."""

    name: Name
    sensitivity: Annotated[float, Meta(gt=0.0, lt=1.0)]


class GateLimits(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a conversion may lose, and which share of each label's validation images judges it."""

    margin: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.01
    share: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.5
    significance: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.05


class Recipe(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training recipe; without a ``model`` it serves the conversion of one that exists.

    Attributes:
        labels: K names; for the source's ``normal`` and ``abnormal`` two, in this order, else those of its ``classes``.
        normal_labels: those that are normal; empty for the first alone. Every other is abnormal.
    """

    schema: Literal[1]
    name: Name
    task: Literal["classify"]
    intended_use: Text
    modalities: Annotated[tuple[Modality, ...], Meta(min_length=1)]
    body_part: Text
    labels: Annotated[tuple[Text, ...], Meta(min_length=2, max_length=64)]
    normal_labels: tuple[Text, ...] = ()
    data: Data
    preprocessing: Preprocessing
    model: Model | None = None
    augmentation: Augmentation
    fit: Fit
    quantization: Quantization
    operating_point: Criterion
    gate: GateLimits = GateLimits()
    quality: QualityLimits

    def __post_init__(self) -> None:
        classes = self.data.source.classes
        if classes is None and len(self.labels) != 2:
            raise ValueError(f"labels: expected two, for normal and abnormal, got {len(self.labels)}")
        if classes is not None and sorted(classes) != sorted(self.labels):
            raise ValueError(f"labels: expected those of data.source.classes, {list(classes)}, got {list(self.labels)}")
        if not set(self.normal_labels) < set(self.labels):
            raise ValueError(
                f"normal_labels: expected some of {list(self.labels)}, but not all, got {list(self.normal_labels)}"
            )


def available() -> tuple[str, ...]:
    """Return the names of the shipped recipes, sorted."""
    folder = resources.files("edgemed.training").joinpath("recipes")
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load(name: str, *, preprocessing: Preprocessing | None = None) -> Recipe:
    """Return a shipped recipe by name, or the recipe in a YAML file.

    Args:
        name: of a recipe, or a path.
        preprocessing: steps to take instead of the recipe's, which may then have none.

    Raises:
        ConfigError: neither a shipped name nor a file, or the file is not a recipe.
    """
    if name in available():
        raw = resources.files("edgemed.training").joinpath("recipes", f"{name}.yaml").read_bytes()
        return parse(raw, source=f"{name}.yaml", preprocessing=preprocessing)
    path = Path(name)
    if not path.is_file():
        known = list(available())
        hint = schema.near_match(name, known)
        raise ConfigError(f"{name}: expected a recipe file or one of {', '.join(known)}, found neither{hint}")
    raw = files.read_bounded(path, limit_bytes=_LIMIT_BYTES, error=ConfigError)
    return parse(raw, source=path.name, preprocessing=preprocessing)


def parse(raw: bytes, *, source: str, preprocessing: Preprocessing | None = None) -> Recipe:
    """Return recipe YAML as a value, with other steps of preprocessing where they are given.

    Raises:
        ConfigError: not YAML, an unknown or missing key, a wrong type, a value out of range.
    """
    tree = schema.decode_yaml(raw, dict[str, Any], source=source)
    if preprocessing is not None:
        tree["preprocessing"] = schema.to_builtins(preprocessing)
    elif "preprocessing" not in tree:
        raise ConfigError(
            f"{source}: preprocessing: required key is missing; add the steps, or give them to edgemed convert with "
            "--preprocessing"
        )
    return schema.from_builtins(tree, Recipe, source=source)


def network(recipe: Recipe) -> Model:
    """Return the network that a recipe trains.

    Raises:
        ConfigError: the recipe has none: it is for a model that exists.
    """
    if recipe.model is None:
        raise ConfigError(
            f"recipe {recipe.name}: model: required key is missing; name the network to train, or convert a model that "
            "exists with edgemed convert MODEL.keras"
        )
    return recipe.model
