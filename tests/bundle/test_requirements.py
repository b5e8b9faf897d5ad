from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.bundle import trust
from edgemed.errors import RollbackError, TargetMismatchError
from tests.bundle import tiny


def test_target_that_is_admitted_passes() -> None:
    trust.require_target(trust.verify(tiny.build(), keys=[tiny.KEY.public]), "raspberry-pi-4")


def test_target_that_is_not_admitted_is_refused() -> None:
    with pytest.raises(TargetMismatchError) as caught:
        trust.require_target(trust.verify(tiny.build(), keys=[tiny.KEY.public]), "raspberry-pi-5")

    assert str(caught.value) == (
        "tiny 1.0.0: expected a target among generic-x86-64, raspberry-pi-4, got 'raspberry-pi-5'; "
        "did you mean 'raspberry-pi-4'?"
    )


@given(st.integers(1, 50), st.integers(0, 50))
def test_release_below_the_floor_is_refused(release: int, floor: int) -> None:
    bundle = trust.verify(tiny.build(release=release), keys=[tiny.KEY.public])

    if release >= floor:
        trust.require_release(bundle, floor)
        return
    with pytest.raises(RollbackError) as caught:
        trust.require_release(bundle, floor)
    assert str(caught.value) == f"tiny 1.0.0: release {release} lies below the floor {floor}; use a newer bundle"
