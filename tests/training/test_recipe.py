from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.errors import ConfigError, EdgemedError
from edgemed.imaging import preprocess
from edgemed.training import recipe as recipes
from edgemed.training.recipe import Recipe
from tests.training import blobs

SHIPPED = recipes.available()


def _text(name: str) -> str:
    return (Path(recipes.__file__).parent / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipe_uses_exact_steps_only(name: str) -> None:
    assert preprocess.is_exact(recipes.load(name).preprocessing)


def test_shipped_recipes_are_known() -> None:
    assert SHIPPED == ("breast-mnist", "breast-ultrasound", "chest-xray", "pneumonia-mnist")


def test_recipe_file_equals_shipped_recipe(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(_text("chest-xray"), encoding="utf-8")
    assert recipes.load(str(path)) == recipes.load("chest-xray")


BROKEN = {
    "unknown key": (
        "  rotation_deg: 12.0",
        "  rotation_degree: 12.0",
        "chest-xray.yaml: augmentation.rotation_degree: unknown key; did you mean 'rotation_deg'?",
    ),
    "missing unit": (
        "  min_side_px: 64",
        "  min_side: 64",
        "chest-xray.yaml: quality.min_side: unknown key; did you mean 'min_side_px'?",
    ),
    "wrong type": (
        "  batch: 32",
        "  batch: many",
        "chest-xray.yaml: fit.batch: expected `int`, got `str`, value 'many'",
    ),
    "unknown option of the network": (
        "  dropout: 0.3",
        "  drop_out: 0.3",
        "chest-xray.yaml: model.drop_out: unknown key; did you mean 'dropout'?",
    ),
    "unknown family": (
        "  family: mobilenet_v2",
        "  family: mobilenet_v3",
        "chest-xray.yaml: model.family: invalid value 'mobilenet_v3', value 'mobilenet_v3'",
    ),
    "average that keeps all": (
        "  seed: 17",
        "  seed: 17\n  ema: 1.0",
        "chest-xray.yaml: fit.ema: expected `float` < 1.0, value 1.0",
    ),
    "mixup below zero": (
        "  seed: 17",
        "  seed: 17\n  mixup: -0.2",
        "chest-xray.yaml: fit.mixup: expected `float` >= 0.0, value -0.2",
    ),
    "misspelt loss": (
        "  seed: 17",
        "  seed: 17\n  loss: focall",
        "chest-xray.yaml: fit.loss: invalid enum value 'focall', value 'focall'",
    ),
    "out of range": (
        "  seed: 17",
        "  seed: -1",
        "chest-xray.yaml: fit.seed: expected `int` >= 0, value -1",
    ),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN.keys())
def test_broken_recipe_names_source_path_and_near_match(case: tuple[str, str, str]) -> None:
    right, wrong, message = case
    text = _text("chest-xray")
    assert text.count(right) == 1
    with pytest.raises(ConfigError) as caught:
        recipes.parse(text.replace(right, wrong).encode(), source="chest-xray.yaml")
    assert str(caught.value) == message


def test_unknown_name_suggests_near_recipe() -> None:
    with pytest.raises(ConfigError) as caught:
        recipes.load("chest-xry")
    assert str(caught.value) == (
        "chest-xry: expected a recipe file or one of breast-mnist, breast-ultrasound, chest-xray, pneumonia-mnist, "
        "found neither; did you mean 'chest-xray'?"
    )


@given(st.binary(max_size=300))
def test_any_bytes_give_a_recipe_or_an_error(raw: bytes) -> None:
    try:
        assert isinstance(recipes.parse(raw, source="fuzz.yaml"), Recipe)
    except EdgemedError as error:
        assert str(error).startswith("fuzz.yaml: ")


def _without(text: str, part: str, following: str) -> str:
    """Return recipe text without one of its parts."""
    head, _, tail = text.partition(f"\n{part}:")
    return head + tail[tail.index(f"\n{following}:") :]


def test_recipe_of_a_model_that_exists_trains_none() -> None:
    own = recipes.parse(_without(blobs.RECIPE, "model", "augmentation").encode(), source="own.yaml")
    assert own.model is None
    with pytest.raises(ConfigError) as caught:
        recipes.network(own)
    assert str(caught.value) == (
        "recipe blobs: model: required key is missing; name the network to train, or convert a model that exists with "
        "edgemed convert MODEL.keras"
    )


def test_given_steps_win_over_the_recipes() -> None:
    whole = recipes.parse(blobs.RECIPE.encode(), source="blobs.yaml")
    steps = msgspec.structs.replace(whole.preprocessing, height=64)
    for text in (blobs.RECIPE, _without(blobs.RECIPE, "preprocessing", "model")):
        found = recipes.parse(text.encode(), source="blobs.yaml", preprocessing=steps)
        assert found == msgspec.structs.replace(whole, preprocessing=steps)


def test_missing_steps_name_the_way_out() -> None:
    with pytest.raises(ConfigError) as caught:
        recipes.parse(_without(blobs.RECIPE, "preprocessing", "model").encode(), source="own.yaml")
    assert str(caught.value) == (
        "own.yaml: preprocessing: required key is missing; add the steps, or give them to edgemed convert with "
        "--preprocessing"
    )


def test_gate_of_a_recipe_that_names_none_is_that_of_the_design() -> None:
    found = recipes.parse(blobs.RECIPE.encode(), source="blobs.yaml").gate
    assert (found.margin, found.share, found.significance) == (0.01, 0.5, 0.05)


def test_gate_limits_are_read_and_checked() -> None:
    strict = blobs.RECIPE + "gate: {margin: 0.002, share: 0.4}\n"
    assert recipes.parse(strict.encode(), source="blobs.yaml").gate.share == 0.4
    with pytest.raises(ConfigError) as caught:
        recipes.parse((blobs.RECIPE + "gate: {margin: 1.0}\n").encode(), source="blobs.yaml")
    assert str(caught.value) == "blobs.yaml: gate.margin: expected `float` < 1.0, value 1.0"


def test_another_seed_leaves_the_division_as_it_was() -> None:
    recipe = recipes.load("chest-xray")
    other = recipes.with_seed(recipes.with_seed(recipe, 5), 6)
    assert (other.fit.seed, recipes.division_seed(other)) == (6, recipes.division_seed(recipe))


def test_views_that_a_recipe_does_not_name_are_none_and_too_many_are_refused() -> None:
    assert recipes.parse(blobs.RECIPE.encode(), source="blobs.yaml").calibration.views == 0
    assert recipes.load("chest-xray").calibration.views == 4
    with pytest.raises(ConfigError) as caught:
        recipes.parse((blobs.RECIPE + "calibration: {views: 17}\n").encode(), source="blobs.yaml")
    assert str(caught.value) == "blobs.yaml: calibration.views: expected `int` <= 16, value 17"
