"""One sshd for all tests of a process; each test has stores of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.device import fakes, sshd
from tests.device.sshd import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running sshd on whose PATH the script of `fakes` is the ``edgemed``."""
    pytest.importorskip("asyncssh")
    folder = tmp_path_factory.mktemp("sshd")
    path = fakes.write_script(folder / "bin")
    # No home: what a developer's shell does at its start takes seconds and is no device's.
    environment = {"PATH": f"{path}:/usr/bin:/bin", "HOME": "/nowhere"}
    with sshd.running(folder / "etc", environment=environment) as found:
        yield found
