from __future__ import annotations

import statistics

import pytest

from edgemed import targets
from edgemed.benchmark import figures

KNOWN = figures.load()


@pytest.mark.parametrize("target", targets.available())
def test_target_is_predicted_or_the_reason_is_said(target: str) -> None:
    assert bool(KNOWN.predicting(target)) != bool(KNOWN.unknown.get(target))


def test_every_setup_stands_for_a_target_of_this_release_and_its_accelerator() -> None:
    for setup in KNOWN.setups:
        if setup.target is not None:
            assert targets.load(setup.target).accelerator is setup.family


def test_every_figure_has_a_setup_a_source_and_an_answer() -> None:
    setups = {setup.id for setup in KNOWN.setups}
    for one in KNOWN.figures:
        assert one.setup in setups
        assert (one.left_out_ms is None) == (one.excluded is not None), one.network


def test_figures_of_a_target_are_those_of_all_its_setups() -> None:
    found = {one.setup for one in KNOWN.of_target("raspberry-pi-4")}

    assert found == {"raspberry-pi-4", "raspberry-pi-4, 1.95 GHz"}
    assert [setup.id for setup in KNOWN.predicting("raspberry-pi-4")] == ["raspberry-pi-4"]


def test_errors_are_those_of_predicted_over_published() -> None:
    (one,) = [
        one for one in KNOWN.figures if one.setup == "coral-usb, x86-64 host" and one.network == "inception_v1_224"
    ]

    assert one.error == pytest.approx(one.predicted_ms / 3.06 - 1)
    assert one.left_out_error == pytest.approx((one.left_out_ms or 0.0) / 3.06 - 1)


def test_what_the_package_says_of_itself_holds_the_limit() -> None:
    fitted = [one for one in KNOWN.figures if one.excluded is None]

    assert len(fitted) >= 25
    assert statistics.median(abs(one.error) for one in fitted) <= 0.25
    assert statistics.median(abs(one.left_out_error or 0.0) for one in fitted) <= 0.25


def test_every_setup_was_fitted_without_each_network_too() -> None:
    networks = {"mobilenet_v1", "mobilenet_v2", "inception_v1", "inception_v4", "resnet18 256x256", "resnet50 256x256"}
    fitted = {one.network for one in KNOWN.figures if one.excluded is None}

    assert all(any(name.startswith(known) for name in fitted) for known in networks)
    assert {len(setup.left_out) for setup in KNOWN.setups} == {9}
