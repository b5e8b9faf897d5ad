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
from edgemed.imaging.gates import Gates
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime.decision import QualityLimits
from edgemed.runtime.labels import Labels
from edgemed.training import criteria, sources
from edgemed.training.augment import Augmentation
from edgemed.training.criteria import Criterion, Indeterminate
from edgemed.training.division import Splits
from edgemed.training.network import Network
from edgemed.training.settings import Count, Distillation, Fit, Rate, ScoreCalibration
from edgemed.training.sources import Source

__all__ = [
    "Criterion",
    "Data",
    "GateLimits",
    "Quantization",
    "Recipe",
    "ScoreCalibration",
    "active",
    "available",
    "division_seed",
    "load",
    "meaning",
    "network",
    "outputs",
    "parse",
    "points",
    "with_seed",
]

_LIMIT_BYTES = 1 << 18


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Data(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the images are, how they are divided, and under which terms they may be used.

    Attributes:
        licence: of the images.
        citation: how their authors ask to be named.
        limits: what the data does not show, for the model card.
        unreadable: whether one image of train or validation that cannot be read ends the training (``refuse``), or is
            left out and counted (``skip``).
        division_seed: draws the groups of a validation that is cut from train, and the folds; None for that of ``fit``.
    """

    source: Source
    splits: Splits
    unreadable: Literal["refuse", "skip"] = "refuse"
    division_seed: Annotated[int, Meta(ge=0, lt=1 << 31)] | None = None
    licence: Text
    citation: Text
    limits: Text

    def __post_init__(self) -> None:
        if not sources.patients_known(self.source) and self.splits.near_duplicate_correlation is None:
            raise ValueError(
                "splits.near_duplicate_correlation: required where no patients are known: it is what keeps train and "
                "validation apart"
            )


class Quantization(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Quantization-aware training after it; ``calibration`` train images set the first ranges."""

    epochs: Count
    learning_rate: Rate
    calibration: Count


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
        calibration: of scores; ``quantization.calibration`` is that of tensors.
        operating_point: the one that is asked for; or ``operating_points``, of which ``active`` is in force.
        indeterminate: which scores are neither an alert nor clear.
        quality: limits before inference; ``gates`` has more of them fitted to train.
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
    model: Network | None = None
    augmentation: Augmentation
    fit: Fit
    distillation: Distillation | None = None
    quantization: Quantization
    calibration: ScoreCalibration = ScoreCalibration()
    operating_point: Criterion | None = None
    operating_points: tuple[Criterion, ...] = ()
    active: Name | None = None
    indeterminate: Indeterminate = "tolerance"
    gate: GateLimits = GateLimits()
    quality: QualityLimits
    gates: Gates | None = None

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
        if (self.operating_point is None) == (not self.operating_points):
            raise ValueError("operating_points: expected them or a single operating_point, got both or none")
        criteria.require_consistent(points(self), active(self), self.indeterminate)


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


def points(recipe: Recipe) -> tuple[Criterion, ...]:
    """Return every operating point that a recipe asks for."""
    return recipe.operating_points if recipe.operating_point is None else (recipe.operating_point,)


def active(recipe: Recipe) -> str | None:
    """Return the name of the operating point in force; a single one need not be named."""
    if recipe.active is None and len(points(recipe)) == 1:
        return points(recipe)[0].name
    return recipe.active


def outputs(recipe: Recipe) -> int:
    """Return K: one logit for two labels, one a label for more."""
    return 1 if len(recipe.labels) == 2 else len(recipe.labels)


def meaning(recipe: Recipe) -> Labels:
    """Return what the logits of the recipe's model stand for."""
    if outputs(recipe) == 1:
        return Labels(names=recipe.labels)
    return Labels(names=recipe.labels, normal=recipe.normal_labels or recipe.labels[:1])


def division_seed(recipe: Recipe) -> int:
    """Return the seed that divides the data."""
    return recipe.fit.seed if recipe.data.division_seed is None else recipe.data.division_seed


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """Return a recipe that trains from another seed on the same division of the data."""
    change = msgspec.structs.replace
    return change(
        recipe,
        fit=change(recipe.fit, seed=seed),
        data=change(recipe.data, division_seed=division_seed(recipe)),
    )


def network(recipe: Recipe) -> Network:
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
