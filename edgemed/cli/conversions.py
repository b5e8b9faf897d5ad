"""What ``edgemed convert`` is given, and how it comes to the converter: neither training nor converters know the other.

source = conversions.source(Path("runs/cxr"), data=None, recipe=None, preprocessing=None)
artifact = conversions.converted(source, devices=devices, mode=Mode.QAT, peers=(), checkpoints=folder, bars=bars)
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.errors import ConfigError
from edgemed.imaging import out_of_fold as folds

if TYPE_CHECKING:
    import keras

    from converters.artifact import Artifact
    from converters.card import Facts
    from converters.gate import Gate
    from converters.mode import Mode
    from edgemed.bundle.manifest import Description
    from edgemed.cli.progress import Bars
    from edgemed.imaging.out_of_fold import OutOfFold
    from edgemed.targets import Target
    from edgemed.training.prepare import TrainingData
    from edgemed.training.recipe import Recipe
    from edgemed.training.run import Run

__all__ = ["Source", "converted", "source"]

_SEED = 20240229  # which train images calibrate


@dataclass(frozen=True, kw_only=True)
class Source:
    """A float model with the data that belong to it.

    Attributes:
        model: its ``.keras`` file.
        data: folder of the data set.
        recipe: names the data's labels and splits, the training of the twin and the operating point.
        run: that trained it; None for a model from elsewhere.
        input_range: that grey levels 0..255 stood for in training; None where the model's graph sees to it.
        out_of_fold: answers of fold models; None where there are none.
    """

    model: Path
    data: Path
    recipe: Recipe
    run: Run | None
    input_range: tuple[float, float] | None = None
    out_of_fold: OutOfFold | None = None


def source(
    model: Path,
    *,
    data: Path | None,
    recipe: str | None,
    preprocessing: Path | None,
    input_range: tuple[float, float] | None = None,
    out_of_fold: Path | None = None,
) -> Source:
    """Return what a run folder or a ``.keras`` file, and the options beside it, give to convert; Keras is not loaded.

    Raises:
        ConfigError: an option is missing or has no place here, the run is not finished, or a file is not what it is
            taken for.
        ConversionError: the ``.keras`` file names code of its own.
    """
    if model.suffix == ".keras" or model.is_file():
        found = _from_file(model, data, recipe, preprocessing)
        answered = None if out_of_fold is None else folds.read(out_of_fold)
        return replace(found, input_range=_range(input_range), out_of_fold=answered)
    for option, value in (("--preprocessing", preprocessing), ("--input-range", input_range)):
        if value is not None:
            raise ConfigError(
                f"{option}: {model} is a run, whose model knows its input; leave the option out, or give "
                f"{model / 'model.keras'} with --data and --recipe"
            )
    found = _from_run(model, data, recipe)
    place = out_of_fold or model / folds.FILE
    return replace(found, out_of_fold=folds.read(place) if out_of_fold or place.is_file() else None)


def _range(given: tuple[float, float] | None) -> tuple[float, float] | None:
    if given is not None and not (math.isfinite(given[0]) and math.isfinite(given[1]) and given[0] < given[1]):
        raise ConfigError(f"--input-range: expected two finite numbers, the lower first, got {given[0]:g} {given[1]:g}")
    return given


def _from_file(model: Path, data: Path | None, recipe: str | None, preprocessing: Path | None) -> Source:
    from converters import keras_file
    from edgemed.imaging import preprocess
    from edgemed.training import recipe as recipes

    keras_file.require_plain(model)
    if data is None:
        raise ConfigError(
            f"--data: required with {model}: the folder of the labelled images that calibrate, train and judge the "
            "quantized model"
        )
    if recipe is None:
        raise ConfigError(
            f"--recipe: required with {model}: a YAML file that names the data's labels and splits, the quantization "
            "and the operating point; a copy of a shipped recipe without its part model is a start"
        )
    steps = None if preprocessing is None else preprocess.read(preprocessing)
    return Source(model=model, data=data, recipe=recipes.load(recipe, preprocessing=steps), run=None)


def _from_run(folder: Path, data: Path | None, recipe: str | None) -> Source:
    """Return the run of a folder once all its epochs are there; its best epoch may be yet to come otherwise."""
    from edgemed.training import recipe as recipes
    from edgemed.training import run as runs

    run = runs.read(folder)
    if recipe is not None:
        run = runs.reconsidered(run, recipes.load(recipe))
    done, wanted = len(run.history), run.recipe.fit.epochs
    if done < wanted:
        raise ConfigError(f"{folder}: trained for {done} of {wanted} epochs; finish it with edgemed train --resume")
    return Source(model=folder / "model.keras", data=data or Path(run.data_path), recipe=run.recipe, run=run)


def converted(
    given: Source, *, devices: tuple[Target, ...], mode: Mode, peers: tuple[Path, ...], checkpoints: Path, bars: Bars
) -> Artifact:
    """Return the artifact of a source; ``checkpoints`` keeps whole epochs of the twin's training until it is removed.

    Raises:
        EdgemedError: as `converters.convert`, and as preparing the data does.
    """
    import converters
    from converters import calibration, emission
    from edgemed.training import fit, prepare, views
    from edgemed.training import run as runs

    recipe = given.recipe
    emission.require(devices, mode)
    model = _loaded(given)
    split = prepare.prepare(recipe, given.data, progress=bars)
    if given.run is not None:
        runs.require_same_data(given.run, split)
    if given.out_of_fold is not None:
        images = folds.digest((split.train, split.validation))
        folds.require_own(given.out_of_fold, recipe=recipe.name, labels=split.train.label_names, images=images)
    return converters.convert(
        model,
        target=devices,
        train=split.train,
        validation=split.validation,
        calibration=calibration.drawn(split.train.planes, recipe.quantization.calibration, name="train", seed=_SEED),
        preprocessing=recipe.preprocessing,
        fit=lambda twin: fit.fine_tune(twin, recipe, split, progress=bars, checkpoints=checkpoints),
        gate=_gate(recipe),
        description=_description(recipe),
        quality=recipe.quality,
        gates=recipe.gates,
        facts=_facts(given, split, mode),
        out_of_fold=given.out_of_fold,
        altered=views.of(recipe, split.validation),
        mode=mode,
        input_range=given.input_range,
        peers=peers,
        note=bars.note,
    )


def _gate(recipe: Recipe) -> Gate:
    """Return what a recipe asks of a conversion, as the converter takes it."""
    from converters.gate import Criterion, Gate, Indeterminate
    from edgemed.training import recipe as recipes

    return Gate(
        points=tuple(
            Criterion(
                name=point.name,
                sensitivity=point.sensitivity,
                specificity=point.specificity,
                balanced=point.balanced,
            )
            for point in recipes.points(recipe)
        ),
        active=recipes.active(recipe) or "",
        indeterminate=Indeterminate(recipe.indeterminate),
        margin=recipe.gate.margin,
        share=recipe.gate.share,
        significance=recipe.gate.significance,
    )


def _description(recipe: Recipe) -> Description:
    import msgspec

    from edgemed.bundle.manifest import Description
    from edgemed.training import recipe as recipes

    return Description(
        name=recipe.name,
        task=recipe.task,
        intended_use=recipe.intended_use,
        modalities=recipe.modalities,
        body_part=recipe.body_part,
        labels=recipe.labels,
        normal_labels=recipes.meaning(recipe).normal or msgspec.UNSET,
    )


def _loaded(given: Source) -> keras.Model:
    """Return the model; what is wrong with one from elsewhere is said before minutes of preprocessing."""
    from converters import keras_file
    from converters.contract import admission
    from edgemed.training import fit

    if given.run is not None:
        return fit.load_best(given.model.parent)
    model = keras_file.load(given.model)
    admission.require(model)
    wanted, steps = tuple(model.inputs[0].shape[1:3]), given.recipe.preprocessing
    if wanted != (steps.height, steps.width):
        raise ConfigError(
            f"preprocessing: expected planes of {wanted[0]} x {wanted[1]} (height x width), the input of "
            f"{given.model}, got {steps.height} x {steps.width}; change height and width of the preprocessing"
        )
    return model


def _facts(given: Source, split: TrainingData, mode: Mode) -> Facts:
    from converters.card import Facts
    from converters.mode import Mode as Modes
    from edgemed import files
    from edgemed.training import data
    from edgemed.training import recipe as recipes
    from edgemed.training import run as runs

    recipe, run, trained = given.recipe, given.run, mode is Modes.QAT
    return Facts(
        schema=1,
        recipe=recipe.name,
        seed=recipe.fit.seed,
        division_seed=recipes.division_seed(recipe),
        licence=recipe.data.licence,
        citation=recipe.data.citation,
        limits=recipe.data.limits,
        separation=runs.separation(recipe),
        origin="elsewhere" if run is None else "edgemed train",
        float_sha256=files.sha256_file(given.model),
        pretrained_sha256=None if run is None else run.pretrained_sha256,
        pretrained_licence=_licence(given),
        train_images=len(split.train.names),
        train_digest=data.digest(split.train),
        validation_images=len(split.validation.names),
        validation_digest=data.digest(split.validation),
        history=() if run is None else tuple((epoch.loss, epoch.validation_auc) for epoch in run.history),
        best_epoch=None if run is None else run.best_epoch,
        quantization_epochs=recipe.quantization.epochs if trained else 0,
        quantization_learning_rate=recipe.quantization.learning_rate if trained else 0.0,
        versions={} if run is None else run.versions,
        converter_versions=_versions(),
    )


def _licence(given: Source) -> str | None:
    """Return the licence of the weights that training started from, if they are those that the recipe speaks of."""
    model, run = given.recipe.model, given.run
    if run is None or model is None or run.pretrained_sha256 is None:
        return None
    return model.pretrained_licence if run.pretrained_sha256 == model.pretrained_sha256 else None


def _versions() -> dict[str, str]:
    """Return the versions of the libraries that convert, as they are installed."""
    from importlib import metadata

    found = {}
    for name in ("ai-edge-litert", "keras", "tensorflow", "tensorflow-cpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
