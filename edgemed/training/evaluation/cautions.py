"""What a reader must know before relying on an evaluation, said in whole sentences.

for line in cautions.cautions(side, sample, "validation", subgroups=table):
    print(line)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgemed.training.evaluation.comparison import Side
from edgemed.training.evaluation.document import FEW, Subgroup
from edgemed.training.evaluation.sample import Sample

__all__ = ["cautions"]


def cautions(side: Side, sample: Sample, split: str, *, subgroups: Sequence[Subgroup]) -> tuple[str, ...]:
    """Return the cautions, most serious first; empty where there is none."""
    return tuple(_all(side, sample, split, subgroups))


def _all(side: Side, sample: Sample, split: str, subgroups: Sequence[Subgroup]) -> Iterator[str]:
    if split == "train":
        yield "The model was trained on these images: the figures say nothing about others."
    if split == "validation":
        yield _of_validation(side)
    for point in side.rule.operating_points:
        if point.holds is False:
            yield (
                f"The images that chose the threshold of {point.name} do not carry its claim, {point.criterion}: the "
                "lower end of the interval lies below."
            )
    abnormal = int(sample.abnormal.sum())
    for count, kind, figure in (
        (abnormal, "abnormal", "sensitivity"),
        (len(sample) - abnormal, "normal", "specificity"),
    ):
        if count < FEW:
            yield f"Only {count} {kind} images: the {figure} is known within its wide interval at best."
    if side.answers.unscored:
        yield (
            f"{side.answers.unscored} images were refused before inference and enter no figure but the count of "
            "decisions."
        )
    if not sample.repeats:
        yield (
            "No patient is known to have several images here: intervals take images as independent, which flatters "
            "where patients repeat unseen."
        )
    if few := [row for row in subgroups if row.few]:
        yield f"{len(few)} of {len(subgroups)} subgroups rest on fewer than {FEW} images of a kind; they are marked."


def _of_validation(side: Side) -> str:
    if side.about.kind == "bundle":
        return (
            "Validation chose the model, its calibration and its thresholds, in part or in whole: the figures flatter. "
            "They are for development; a claim needs images that chose nothing."
        )
    return (
        "Calibration and thresholds were fitted on these very images, and they chose the model: the figures flatter, "
        "and the sensitivity at the operating point is what was asked for."
    )
