from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the train extra")
pytest.importorskip("jinja2", reason="needs the train extra")

from edgemed.runtime.screening import Refusal
from edgemed.training import report
from edgemed.training.evaluation import procedure, subgroups
from edgemed.training.evaluation.document import Figure, Several
from edgemed.training.evaluation.procedure import Candidate, Done, Request
from edgemed.training.out_of_distribution import OodReport, OodSet
from edgemed.training.recipe import Recipe
from edgemed.training.report import examples, plots
from tests.pages.seen import Seen, require_whole
from tests.training.evaluation import made

EVIL = '<script>alert("x")</script>'
FIGURE = Figure(value=0.9, ci95=(0.8, 0.95), ci95_by_patient=None)


@pytest.fixture(scope="module")
def candidate(blob_recipe: Recipe) -> Candidate:
    return Candidate(subject=made.subject(), recipe=blob_recipe)


@pytest.fixture(scope="module")
def done(candidate: Candidate, blobs: Path) -> Done:
    other = Candidate(subject=made.subject(factor=0.05), recipe=candidate.recipe)
    found = procedure.carried_out(candidate, Request(data=blobs, prevalences=(0.02,)), other=other)
    values = ["north" if row % 2 else "south" for row in range(len(found.side.answers))]
    sample = made.sample(found.side.answers, found.side.rule)
    table = subgroups.table(sample, values, attribute="site", threshold=0.5)
    elsewhere = OodSet(name="photos", n=15, refused=FIGURE, by={Refusal.DISTANCE: 14}, auroc=FIGURE)
    measured = OodReport(schema_version=1, bundle={}, backend="fake", in_domain=elsewhere, sets=(elsewhere,))
    document = msgspec.structs.replace(found.evaluation, subgroups=table, out_of_distribution=measured)
    return Done(evaluation=document, side=found.side, dataset=found.dataset)


@pytest.fixture(scope="module")
def text(candidate: Candidate, done: Done) -> str:
    return report.render_html(candidate, done)


@pytest.fixture(scope="module")
def seen(text: str) -> Seen:
    return Seen(text)


def test_page_is_whole_and_needs_nothing_from_outside(text: str) -> None:
    require_whole(text)


def test_reviewer_reads_the_main_figures_in_words_first(seen: Seen, done: Done) -> None:
    point = done.evaluation.operating_points[0]
    start = seen.words[: seen.words.index("What was evaluated")]
    assert "40 validation images, 20 of them abnormal." in start
    assert f"it finds {point.true_positives} of 20 abnormal images" in start
    assert "Where 2 % of images are abnormal, an alert is right in" in start
    assert "Research software: a score, never a diagnosis." in start
    for caution in done.evaluation.cautions:
        assert caution in start


def test_every_figure_of_the_document_is_on_the_page(seen: Seen, done: Done) -> None:
    found = done.evaluation
    (point,) = found.operating_points
    for figure in (found.auc, found.average_precision, point.sensitivity, point.specificity, point.npv, point.f1):
        assert figure is not None
        assert f"{figure.value:.4f}" in seen.words
        assert f"{figure.ci95[0]:.4f}, {figure.ci95[1]:.4f}" in seen.words
    for table in found.calibrations:
        assert f"{table.expected_calibration_error:.4f}" in seen.words
        assert table.fitted_on in seen.words
    for words in ("site: north *", "site: south *", "photos", "14 distance", "Comparison with run blobs", "PPV at 2 %"):
        assert words in seen.words


def test_every_picture_has_words_for_those_who_do_not_see_it(seen: Seen) -> None:
    labels = seen.values("aria-label")
    assert [label.split(",")[0].split(":")[0] for label in labels if label] == [
        "ROC curve",
        "Precision-recall curve",
        "Reliability diagram",
        "Decision curve",
        "Histogram of the scores of abnormal and normal images with thresholds",
    ]
    described = [value for tag, name, value in seen.attributes if (tag, name) == ("img", "alt")]
    assert len(described) == 12
    assert all(one and one.startswith("An image labelled ") for one in described)


def test_no_image_is_named(text: str, done: Done) -> None:
    assert not any(name in text for name in done.dataset.names)


def test_worst_errors_are_the_highest_normals_and_the_lowest_abnormals(candidate: Candidate, done: Done) -> None:
    normals, abnormals = examples.worst(candidate.subject, done, count=3)
    values, abnormal = done.side.answers.abnormality, done.side.answers.abnormal
    calibration = done.side.rule.calibration
    assert [one.score for one in normals] == pytest.approx(
        [1 / (1 + np.exp(-(calibration.slope * z + calibration.intercept))) for z in sorted(values[~abnormal])[:-4:-1]]
    )
    assert [one.score for one in abnormals] == sorted(one.score for one in abnormals)
    assert {one.label for one in normals} == {"plain"}
    assert all(one.explained for one in (*normals, *abnormals))


def test_model_without_evidence_shows_the_bare_picture(blobs: Path, blob_recipe: Recipe) -> None:
    bare = Candidate(subject=made.subject(evidence=False), recipe=blob_recipe)
    found = procedure.carried_out(bare, Request(data=blobs))
    normals, _ = examples.worst(bare.subject, found, count=1)
    assert not normals[0].explained
    assert normals[0].alt == f"An image labelled plain, score {normals[0].score:.3f}"


@pytest.fixture(scope="module")
def variant(candidate: Candidate, done: Done) -> str:
    """Return the page of a document of several labels, with hostile names and without the parts nobody asked for."""
    document = msgspec.structs.replace(
        done.evaluation,
        subgroups=(msgspec.structs.replace(done.evaluation.subgroups[0], value=EVIL),),
        comparison=None,
        out_of_distribution=None,
        cautions=(),
        several=Several(
            labels=("normal", "benign", EVIL),
            macro_auc=FIGURE,
            one_vs_rest=dict.fromkeys(("normal", "benign", EVIL), FIGURE),
            accuracy=FIGURE,
            confusion=((11, 12, 13), (21, 22, 23), (31, 32, 33)),
        ),
    )
    hostile = Candidate(subject=candidate.subject, recipe=candidate.recipe, card=f"# {EVIL}")
    return report.render_html(hostile, Done(evaluation=document, side=done.side, dataset=done.dataset))


def test_names_cannot_break_out_of_the_page(variant: str) -> None:
    assert "<script" not in variant
    # The subgroup, the card, the label as a row and as a column.
    assert Seen(variant).words.count(EVIL) == 4


def test_parts_that_were_not_asked_for_are_left_out(variant: str) -> None:
    words = Seen(variant).words
    for part in ("Comparison", "Images that it is not meant for", "Before relying"):
        assert part not in words


def test_several_labels_have_a_matrix_and_an_area_each(variant: str) -> None:
    cells = re.sub(r"<[^>]*>", " ", variant[variant.index("Which label") : variant.index("Operating points</h2>")])
    assert "21 22 23" in " ".join(cells.split())
    assert "90.0 % [80.0, 95.0] of images; macro AUC 0.9000 [0.8000, 0.9500]" in " ".join(cells.split())


def test_equal_answers_give_equal_plots(done: Done) -> None:
    found = done.side.answers
    drawn = [plots.scores(found.abnormal, made.sample(found, done.side.rule).scores, done.side.rule) for _ in range(2)]
    assert drawn[0] == drawn[1]
