"""Fixtures of the tests that run a model on a double of the Edge TPU."""

from __future__ import annotations

import pytest

from edgemed.runtime import backends
from tests.runtime import edgetpus
from tests.runtime.edgetpus import EdgeTpu


@pytest.fixture(params=backends.TFLITE)
def backend(request: pytest.FixtureRequest) -> str:
    """Return the name of each back end with delegates in turn; one that is not installed is skipped."""
    name: str = request.param
    if name not in backends.available():
        pytest.skip(f"{name} is not installed in this environment")
    return name


@pytest.fixture(scope="session")
def double(tmp_path_factory: pytest.TempPathFactory) -> EdgeTpu:
    return edgetpus.built(tmp_path_factory.mktemp("edgetpu"))


@pytest.fixture
def tpu(double: EdgeTpu) -> EdgeTpu:
    double.plug_in()
    return double
