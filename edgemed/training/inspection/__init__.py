"""What is wrong with a data set, found before a model learns it.

Every image is read once, test images too: nothing here chooses a model. Documents name images by number and hold no
name of a file or of a patient.

    checked = inspection.inspect(inspection.guess(folder, inspection.Given(label="class")))
"""

from __future__ import annotations

from edgemed.training.inspection.check import NEAR, Checked, inspect
from edgemed.training.inspection.columns import Given
from edgemed.training.inspection.described import Described, by_recipe
from edgemed.training.inspection.document import Count, Difference, Finding, Inspection, Levels, Severity
from edgemed.training.inspection.guessing import guess

__all__ = [
    "NEAR",
    "Checked",
    "Count",
    "Described",
    "Difference",
    "Finding",
    "Given",
    "Inspection",
    "Levels",
    "Severity",
    "by_recipe",
    "guess",
    "inspect",
]
