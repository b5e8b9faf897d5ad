"""A small data set on disk and a recipe for it: bright blobs are abnormal."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemed.training import recipe as recipes
from edgemed.training.recipe import Recipe
from tests.training import blobs as made


@pytest.fixture(scope="session")
def blob_recipe() -> Recipe:
    """Return a recipe that trains in seconds."""
    return recipes.parse(made.RECIPE.encode(), source="blobs.yaml")


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder of 64 train, 40 validation and 20 test pictures, half with a bright blob."""
    folder = tmp_path_factory.mktemp("blobs")
    made.write(folder, {"train": 32, "val": 20, "test": 10})
    return folder
