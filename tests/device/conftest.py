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
    with sshd.running(folder / "etc", environment={"PATH": f"{path}:/usr/bin:/bin"}) as found:
        yield found
