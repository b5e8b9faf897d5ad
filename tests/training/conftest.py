"""A small data set on disk and a recipe for it: bright blobs are abnormal."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgemed.training import recipe as recipes
from edgemed.training.network import DsCnn
from edgemed.training.recipe import Recipe
from tests.training import blobs as made


@pytest.fixture(scope="session")
def blob_recipe() -> Recipe:
    """Return a recipe that trains in seconds: of the zoo's smallest network, for tracing takes longer than training."""
    recipe = recipes.parse(made.RECIPE.encode(), source="blobs.yaml")
    return msgspec.structs.replace(recipe, model=DsCnn(alpha=0.25, depth=1, embedding=8, dropout=0.1))


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder of 64 train, 40 validation and 20 test pictures, half with a bright blob."""
    folder = tmp_path_factory.mktemp("blobs")
    made.write(folder, {"train": 32, "val": 20, "test": 10})
    return folder
