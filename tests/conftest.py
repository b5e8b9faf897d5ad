"""Fixtures every test may use: a seeded generator and the optional folder of real data."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# The first example of a property imports its reference (scikit-learn: a second); a wall-clock limit would be flaky.
settings.register_profile("edgemed", deadline=None)
settings.load_profile("edgemed")


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with a fixed seed."""
    return np.random.default_rng(20240229)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images beside the checkout, or skip."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real-data folder ../shared/data is not beside this checkout")
    return folder


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let processes that are started here heed Ctrl-C, which a shell's background jobs and their children ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
