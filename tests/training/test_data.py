from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgemed.training import data, sources
from edgemed.training.recipe import Recipe


def test_digest_changes_with_a_label(blobs: Path, blob_recipe: Recipe) -> None:
    dataset = sources.load(blob_recipe.data.source, blobs)
    part = data.labelled_planes(dataset, np.arange(4), blob_recipe.preprocessing)
    assert data.digest(part) == data.digest(replace(part, planes=part.planes.copy()))
    assert data.digest(part) != data.digest(replace(part, labels=1 - part.labels))
