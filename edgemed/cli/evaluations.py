"""What ``edgemed evaluate`` is given: a run folder, a ``.keras`` or ``.tflite`` file, or a bundle, ready to answer.

candidate = evaluations.opened("runs/cxr", recipe=None, trusted=(), backend=None, input_range=None)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgemed.errors import ConfigError

if TYPE_CHECKING:
    import keras
    import numpy as np
    from numpy.typing import NDArray

    from edgemed.imaging.preprocess import Preprocessing
    from edgemed.runtime.labels import Labels
    from edgemed.training.evaluation.document import Evaluated
    from edgemed.training.evaluation.procedure import Candidate
    from edgemed.training.evaluation.subjects import Subject
    from edgemed.training.recipe import Recipe

__all__ = ["opened"]

Kind = Literal["run", "keras", "tflite"]

_MODEL_LIMIT_BYTES = 1 << 30


def opened(
    name: str,
    *,
    recipe: str | Recipe | None,
    trusted: tuple[Path, ...],
    backend: str | None,
    input_range: tuple[float, float] | None = None,
) -> Candidate:
    """Return a run folder, a ``.keras`` or ``.tflite`` file, or a bundle, ready to answer.

    Args:
        name: path; or the name of a shipped bundle.
        recipe: by name or file, or as a value that another subject brought along; None takes that of the run, or of
            the bundle's name.
        trusted: public keys for a bundle.
        backend: for a bundle or a TFLite file.
        input_range: what grey levels 0 and 255 stood for when a ``.keras`` file was trained.

    Raises:
        EdgemedError: it is none of these, an option is missing or has no place here, or it cannot be loaded.
    """
    path = Path(name)
    if path.suffix == ".keras":
        return _of_keras(path, recipe, input_range)
    if input_range is not None:
        raise ConfigError(f"--input-range: only a .keras file needs it, got {name}; leave the option out")
    if path.suffix == ".tflite":
        return _of_tflite(path, recipe, backend)
    if path.is_dir():
        return _of_run(path, recipe if isinstance(recipe, str) else None)
    return _of_bundle(name, recipe, trusted, backend)


def _of_bundle(name: str, recipe: str | Recipe | None, trusted: tuple[Path, ...], backend: str | None) -> Candidate:
    from edgemed.bundle import keys
    from edgemed.runtime.screener import Screener
    from edgemed.training import evaluate
    from edgemed.training.evaluation import subjects
    from edgemed.training.evaluation.procedure import Candidate

    screener = Screener.open(name, keys=tuple(map(keys.read_public, trusted)) or None, backend=backend)
    card = screener.bundle.members.get("card.md")
    return Candidate(
        subject=subjects.of_bundle(screener),
        recipe=_loaded(recipe or screener.bundle.manifest.name, screener.preprocessing),
        rule=screener.rule,
        trained=evaluate.division_of(screener.bundle),
        screener=screener,
        card=None if card is None else card.decode("utf-8"),
    )


def _of_run(folder: Path, recipe: str | None) -> Candidate:
    from edgemed import files
    from edgemed.imaging import out_of_fold
    from edgemed.training import recipe as recipes
    from edgemed.training import run as runs
    from edgemed.training.evaluate import Trained
    from edgemed.training.evaluation.procedure import Candidate

    run = runs.read(folder)
    if recipe is not None:
        run = runs.reconsidered(run, recipes.load(recipe))
    done, wanted = len(run.history), run.recipe.fit.epochs
    if done < wanted:
        raise ConfigError(f"{folder}: trained for {done} of {wanted} epochs; finish it with edgemed train --resume")
    if run.folds is not None:
        # Its counts may happen to be those of the recipe's own division, its images are not.
        raise ConfigError(
            f"{folder}: is one of {run.folds} folds, and was trained on images of the recipe's validation; read the "
            f"folds' answers in {folder.parent / out_of_fold.FILE}, or evaluate a run trained without --folds"
        )
    from edgemed.cli import extras

    extras.load("train")
    from edgemed.training import fit

    model = fit.load_best(folder)
    return Candidate(
        subject=_keras_subject(
            model, run.recipe, kind="run", digest=files.sha256_file(folder / "model.keras"), source=str(folder)
        ),
        recipe=run.recipe,
        data=Path(run.data_path),
        trained=Trained(
            seed=recipes.division_seed(run.recipe),
            train_images=run.train_images,
            validation_images=run.validation_images,
        ),
    )


def _of_keras(path: Path, recipe: str | Recipe | None, input_range: tuple[float, float] | None) -> Candidate:
    from converters import keras_file
    from edgemed import files
    from edgemed.training.evaluation.procedure import Candidate

    keras_file.require_plain(path)
    found = _required_recipe(path, recipe)
    from edgemed.cli import extras

    extras.load("train")
    from converters import contract

    adapted = contract.adapted(keras_file.load(path), input_range=input_range)
    digest = files.sha256_file(path)
    return Candidate(
        subject=_keras_subject(adapted.model, found, kind="keras", digest=digest, source=str(path)), recipe=found
    )


def _of_tflite(path: Path, recipe: str | Recipe | None, backend: str | None) -> Candidate:
    from edgemed import files
    from edgemed.runtime import backends
    from edgemed.runtime.classifier import Classifier
    from edgemed.training.evaluation import subjects
    from edgemed.training.evaluation.procedure import Candidate

    raw = files.read_bounded(path, limit_bytes=_MODEL_LIMIT_BYTES, error=ConfigError)
    found = _required_recipe(path, recipe)
    interpreter = backends.load(raw, backend=backend)
    _require_plane([spec.shape for spec in interpreter.inputs.values()], found, str(path))
    steps = found.preprocessing
    classifier = Classifier(interpreter, height=steps.height, width=steps.width)
    labels = _labels(found, classifier.count, str(path))
    about = _about("tflite", found, labels, files.sha256(raw))
    return Candidate(
        subject=subjects.of_classifier(classifier, about=about, labels=labels, preprocessing=steps), recipe=found
    )


def _loaded(recipe: str | Recipe, steps: Preprocessing | None = None) -> Recipe:
    """Return a recipe; that of a model from elsewhere may have no steps of its own, a bundle has those that count."""
    import msgspec

    from edgemed.training import recipe as recipes

    if isinstance(recipe, str):
        return recipes.load(recipe, preprocessing=steps)
    return recipe if steps is None else msgspec.structs.replace(recipe, preprocessing=steps)


def _required_recipe(path: Path, recipe: str | Recipe | None) -> Recipe:
    if recipe is None:
        raise ConfigError(
            f"--recipe: required with {path}: a recipe, by name or file, that names the data's labels and splits, the "
            "preprocessing and the operating point"
        )
    return _loaded(recipe)


def _keras_subject(model: keras.Model, recipe: Recipe, *, kind: Kind, digest: str, source: str) -> Subject:
    """Return a Keras model of the contract as a subject."""
    import keras as library
    import numpy as np

    from edgemed.training import batches
    from edgemed.training.evaluation.subjects import ModelSubject

    _require_plane([tuple(one.shape) for one in model.inputs], recipe, source)
    labels = _labels(recipe, int(model.output["logit"].shape[-1]), source)

    def read(planes: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        found = {name: values.astype(np.float64) for name, values in batches.predict(model, planes).items()}
        return found["logit"], found.get("evidence")

    return ModelSubject(
        about=_about(kind, recipe, labels, digest),
        backend=f"keras {library.__version__} on {library.backend.backend()}",
        labels=labels,
        preprocessing=recipe.preprocessing,
        read=read,
    )


def _require_plane(shapes: list[tuple[int | None, ...]], recipe: Recipe, source: str) -> None:
    """Refuse planes of another size than the model's before any of them is made."""
    steps = recipe.preprocessing
    for shape in shapes:
        if tuple(shape[1:3]) != (steps.height, steps.width):
            wanted = " x ".join(map(str, shape[1:3]))
            raise ConfigError(
                f"preprocessing: expected planes of {wanted} (height x width), the input of {source}, got "
                f"{steps.height} x {steps.width} from the recipe {recipe.name}; give the recipe it was trained by with "
                "--recipe"
            )


def _labels(recipe: Recipe, count: int, source: str) -> Labels:
    """Return what the logits stand for, by the recipe, once their number is right."""
    from edgemed.training import recipe as recipes

    found = recipes.meaning(recipe)
    if found.count != count:
        raise ConfigError(
            f"labels: expected a recipe for {count} logit{'s' * (count > 1)}, as {source} has them, got {recipe.name} "
            f"with {len(recipe.labels)} labels; give the recipe it was trained by with --recipe"
        )
    return found


def _about(kind: Kind, recipe: Recipe, labels: Labels, digest: str) -> Evaluated:
    from edgemed.training.evaluation.document import Evaluated

    return Evaluated(
        kind=kind,
        name=recipe.name,
        version=None,
        model=digest,
        labels=recipe.labels,
        normal_labels=labels.normal,
    )
