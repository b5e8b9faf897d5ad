"""The page of an evaluation: one file for a clinical reviewer, without tools, network or scripts.

What matters comes first, in words; then tables, plots, the worst errors and the model card. No image is named.

    text = page.render_html(candidate, done)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgemed.pages import Picture, markdown, render
from edgemed.training.evaluation.document import PointResult
from edgemed.training.evaluation.procedure import Candidate, Done
from edgemed.training.evaluation.rule import scores
from edgemed.training.evaluation.whole import Evaluation
from edgemed.training.progress import Progress, Silent
from edgemed.training.recipe import Recipe
from edgemed.training.report import examples, plots, tables

__all__ = ["render_html"]


def render_html(candidate: Candidate, done: Done, *, progress: Progress | None = None) -> str:
    """Return the page.

    Args:
        candidate: what was evaluated; asked again for the worst errors.
        done: its evaluation.
        progress: told what goes on.

    Raises:
        ImageError: an image of the worst errors cannot be read any more.
    """
    report = progress or Silent()
    found = done.evaluation
    report.start("report", 2)
    normals, abnormals = examples.worst(candidate.subject, done)
    report.advance()
    pictures = tuple(_pictures(done))
    report.advance()
    return render(
        "edgemed.training.report",
        "page.html.j2",
        found=found,
        title=candidate.title,
        purpose=candidate.recipe.intended_use if candidate.screener is None else _purpose(candidate),
        headline=tuple(_headline(found)),
        about=tuple(_about(found, candidate.recipe)),
        ranking=tables.ranking_rows(found),
        by_patient=found.resamples is not None,
        points=tuple((point, tables.point_rows(point)) for point in found.operating_points),
        pictures=pictures,
        calibrations=tables.calibration_rows(found.calibrations),
        bins=next(table.bins for table in found.calibrations if table.method == "in force"),
        subgroups=tables.subgroup_rows(found.subgroups),
        comparison=() if found.comparison is None else tables.comparison_rows(found.comparison),
        flips=() if found.comparison is None else tables.flip_rows(found.comparison),
        elsewhere=() if found.out_of_distribution is None else tables.ood_rows(found.out_of_distribution),
        worst=(("Normals with the highest scores", normals), ("Abnormals with the lowest scores", abnormals)),
        card=markdown.to_html(candidate.card or _card(candidate.recipe), top=3),
        percent=tables.percent,
    )


def _purpose(candidate: Candidate) -> str:
    if candidate.screener is None:
        raise ValueError("candidate: expected a bundle, got a model without gates")
    return candidate.screener.bundle.manifest.intended_use


def _headline(found: Evaluation) -> Iterator[str]:
    """Yield what a reviewer should know first, in sentences."""
    patients = "" if found.resamples is None else f" of {found.n_groups} patients"
    yield (
        f"{found.n} {found.split} images{patients}, {found.n_abnormal} of them abnormal. An abnormal image scores "
        f"above a normal one in {tables.percent(found.auc)} of pairs (area under the ROC curve)."
    )
    for point in found.operating_points:
        if point.active:
            yield _decided(point)
            yield from _at_prevalence(point)
    yield (
        f"Scores as probabilities: the calibration error is {100 * found.expected_calibration_error:.1f} percentage "
        "points (ECE, ten bins)."
    )


def _decided(point: PointResult) -> str:
    abnormal, normal = point.true_positives + point.false_negatives, point.true_negatives + point.false_positives
    return (
        f"At the operating point {point.name} (threshold {point.threshold:.3f}) it finds {point.true_positives} of "
        f"{abnormal} abnormal images, {tables.percent(point.sensitivity)}, and leaves {point.true_negatives} of "
        f"{normal} normal images without an alert, {tables.percent(point.specificity)}."
    )


def _at_prevalence(point: PointResult) -> Iterator[str]:
    for at in point.at_prevalence:
        yield (
            f"Where {100 * at.prevalence:g} % of images are abnormal, an alert is right in {tables.percent(at.ppv)} of "
            f"cases, and the absence of one in {tables.percent(at.npv)}."
        )


def _about(found: Evaluation, recipe: Recipe) -> Iterator[tuple[str, str]]:
    subject = found.subject
    yield "Evaluated", f"{subject.kind} {subject.name}{'' if subject.version is None else ' ' + subject.version}"
    yield "Labels", " / ".join(subject.labels)
    yield "Model", subject.model
    yield "Ran on", found.backend
    yield "Data", f"{recipe.data.citation}. Licence: {recipe.data.licence}"
    yield "Split", f"{found.split} of the recipe {found.recipe}, seed {found.seed}"
    patients = "" if found.resamples is None else f" of {found.n_groups} patients"
    yield "Images", f"{found.n}{patients}, {found.n_abnormal} abnormal, {found.unscored} refused before inference"
    yield "Calibration, thresholds", found.thresholds
    yield "Decisions", ", ".join(f"{count} {name}" for name, count in found.decisions.items())
    yield "Intervals", found.interval


def _pictures(done: Done) -> Iterator[Picture]:
    found, side = done.evaluation, done.side
    abnormal, logits = side.answers.abnormal, side.answers.abnormality
    values: NDArray[np.float64] = scores(side.rule.calibration, logits)
    yield Picture(
        title="ROC curve",
        svg=plots.roc(abnormal, logits, found.operating_points),
        caption=f"Area {found.auc}. Crosses: operating points with their 95 % intervals.",
        alt=f"ROC curve, area {found.auc.value:.4f}",
        across=False,
    )
    yield Picture(
        title="Precision and recall",
        svg=plots.precision_recall(abnormal, logits, found.operating_points),
        caption=f"Average precision {found.average_precision}. Precision is of this data's prevalence, "
        f"{found.n_abnormal / found.n:.3f}; a clinic's is another.",
        alt=f"Precision-recall curve, average precision {found.average_precision.value:.4f}",
        across=False,
    )
    yield Picture(
        title="Reliability",
        svg=plots.reliability(found.calibrations),
        caption="Observed share of abnormals in ten bins of the score, with Wilson intervals, before and with the "
        "calibration in force; below, how many images a bin of the latter holds. On the diagonal a score means what it "
        "says.",
        alt=f"Reliability diagram, calibration error {found.expected_calibration_error:.4f}",
        across=False,
    )
    yield Picture(
        title="Decision curve",
        svg=plots.decision_curve(found.decision_curve, found.operating_points),
        caption="What acting on the score is worth against acting on everyone or on none (Vickers and Elkin 2006), "
        f"at a prevalence of {found.decision_curve.prevalence:.3f}. Left, a missed case weighs most; right, a false "
        "alert.",
        alt="Decision curve: net benefit of the model, of acting on everyone and on none",
        across=False,
    )
    yield Picture(
        title="Scores",
        svg=plots.scores(abnormal, values, side.rule),
        caption="How the scores lie: abnormals upwards, normals downwards, counts on a logarithmic axis.",
        alt="Histogram of the scores of abnormal and normal images with thresholds",
    )


def _card(recipe: Recipe) -> str:
    """Return what is known of a model that carries no card of its own, as markdown."""
    return "\n".join(
        [
            f"# {recipe.name}",
            "",
            recipe.intended_use,
            "",
            f"- Task: {recipe.task}, {' / '.join(recipe.labels)}",
            f"- Modalities: {', '.join(recipe.modalities)}; body part: {recipe.body_part}",
            "",
            "## Data",
            "",
            f"{recipe.data.citation}. Licence: {recipe.data.licence}.",
            "",
            "## Limits",
            "",
            recipe.data.limits,
            "",
            "Research software: a score, never a diagnosis.",
        ]
    )
