from __future__ import annotations

from typing import Any

import pytest
import yaml

from edgemed.errors import ConfigError
from edgemed.training import recipe as recipes
from edgemed.training.recipe import Recipe
from tests.training import blobs

POINTS = [
    {"name": "rule-out", "sensitivity": 0.95},
    {"name": "rule-in", "specificity": 0.9},
    {"name": "balanced", "balanced": "equal-error"},
]


class Plain(yaml.SafeDumper):
    """Writes what stands there twice out twice: recipes have no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def parsed(**changes: Any) -> Recipe:
    tree = yaml.safe_load(blobs.RECIPE)
    del tree["operating_point"]
    return recipes.parse(yaml.dump({**tree, **changes}, Dumper=Plain).encode(), source="blobs.yaml")


def test_single_operating_point_is_in_force() -> None:
    found = parsed(operating_point=POINTS[0])
    assert (recipes.active(found), found.indeterminate) == ("rule-out", "tolerance")
    assert [point.sensitivity for point in recipes.points(found)] == [0.95]


def test_several_operating_points_of_which_one_is_active() -> None:
    found = parsed(operating_points=POINTS, active="balanced", indeterminate="between")
    assert (recipes.active(found), found.indeterminate) == ("balanced", "between")
    assert [point.name for point in recipes.points(found)] == ["rule-out", "rule-in", "balanced"]


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({}, "operating_points: expected them or a single operating_point, got both or none"),
    "both": (
        {"operating_point": POINTS[0], "operating_points": POINTS, "active": "rule-in"},
        "operating_points: expected them or a single operating_point, got both or none",
    ),
    "names that repeat": (
        {"operating_points": [POINTS[0], POINTS[0]], "active": "rule-out"},
        "operating_points: expected different names, got rule-out several times",
    ),
    "no active one": (
        {"operating_points": POINTS},
        "active: expected one of the operating points, rule-out, rule-in, balanced, got none",
    ),
    "active one that is none": (
        {"operating_points": POINTS, "active": "rule-up"},
        "active: expected one of the operating points, rule-out, rule-in, balanced, got 'rule-up'",
    ),
    "nothing to be between": (
        {"operating_points": [POINTS[0], POINTS[2]], "active": "balanced", "indeterminate": "between"},
        "indeterminate: between: expected an operating point with a sensitivity and one with a specificity, got "
        "sensitivity only",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_operating_points_that_make_no_sense_are_refused(name: str) -> None:
    changes, message = FAULTS[name]
    with pytest.raises(ConfigError) as caught:
        parsed(**changes)
    assert str(caught.value) == f"blobs.yaml: {message}"


def test_criterion_that_asks_for_two_things_is_refused() -> None:
    point = {"name": "x", "sensitivity": 0.9, "specificity": 0.9}
    with pytest.raises(ConfigError) as caught:
        parsed(operating_points=[point], active="x")
    assert str(caught.value) == (
        "blobs.yaml: operating_points[0]: x: expected one of sensitivity, specificity and balanced, got sensitivity, "
        "specificity"
    )
