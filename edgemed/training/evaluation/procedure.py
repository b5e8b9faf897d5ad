"""The order of an evaluation: what is asked, of which images, and what each answer is used for.

1. Labels, attributes and options are compared with the model and the data, before any image is read.
2. The images of the split are selected; validation is known then, except for ``test``.
3. The model answers the split; what carries no thresholds of its own answers validation too, which gives them.
4. Calibrations are refitted on validation: in folds where validation is what is evaluated.
5. The other model, where one is named, answers the same images.
6. Images from elsewhere go through the bundle's gates.

    done = procedure.carried_out(candidate, Request(data=folder, split="validation"))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ConfigError
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.screener import Screener
from edgemed.training import evaluate, out_of_distribution, prepare
from edgemed.training.data import Dataset
from edgemed.training.evaluate import Asked, Selected, Trained
from edgemed.training.evaluation import answers, comparison, rule, subgroups
from edgemed.training.evaluation.answers import Answers
from edgemed.training.evaluation.comparison import Side
from edgemed.training.evaluation.subjects import Subject
from edgemed.training.evaluation.whole import Evaluation
from edgemed.training.out_of_distribution import OodReport
from edgemed.training.progress import Progress, Silent
from edgemed.training.recipe import Recipe

__all__ = ["Candidate", "Done", "Request", "carried_out"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A model that is ready to answer, with what it carries.

    Attributes:
        recipe: names the data's columns, labels and splits.
        data: folder of the data set that it names itself; None where it names none.
        rule: calibration and thresholds; None where they are fitted on validation.
        trained: the division it was trained on, as far as it tells.
        screener: of a bundle; None for a model without gates.
        card: of a bundle, markdown.
    """

    subject: Subject
    recipe: Recipe
    data: Path | None = None
    rule: DecisionRule | None = None
    trained: Trained | None = None
    screener: Screener | None = None
    card: str | None = None

    @property
    def title(self) -> str:
        """Name, and the version where there is one."""
        about = self.subject.about
        return about.name if about.version is None else f"{about.name} {about.version}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a candidate.

    Attributes:
        data: folder of the data set; None takes the candidate's own.
        split: None takes validation, for a bundle test.
        prevalences: at which predictive values are wanted, above 0 and below 1.
        attributes: of the data, for subgroups.
        elsewhere: folders, pictures or zips of what the bundle is not meant for, by name.
    """

    data: Path | None
    split: str | None = None
    prevalences: tuple[float, ...] = ()
    attributes: tuple[str, ...] = ()
    elsewhere: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for prevalence in self.prevalences:
            if not 0.0 < prevalence < 1.0:
                raise ConfigError(
                    f"--prevalence: expected above 0 and below 1, got {prevalence:g}; give a share, 0.02 for 2 %"
                )


@dataclass(frozen=True, kw_only=True, eq=False)
class Done:
    """An evaluation with what it was made of, for a report."""

    evaluation: Evaluation
    side: Side
    dataset: Dataset


@dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    """What every step needs."""

    dataset: Dataset
    chosen: Selected
    split: str
    report: Progress

    def answered(self, candidate: Candidate, indices: NDArray[np.int64], what: str) -> Answers:
        self.report.start(f"evaluate {candidate.title} on {what}", len(indices))
        return answers.collected(candidate.subject, self.dataset, indices, progress=self.report.advance)


def carried_out(
    candidate: Candidate, request: Request, *, other: Candidate | None = None, progress: Progress | None = None
) -> Done:
    """Return the evaluation of a candidate, beside another one where it is given.

    Raises:
        EdgemedError: the data are not those of the recipe, the split lacks a class, an image cannot be read, an option
            has no place here, or the other model is of other labels or was trained on the images asked for.
    """
    work = _prepared(candidate, request, other, progress or Silent())
    dataset, chosen, split = work.dataset, work.chosen, work.split
    validation = _validation(candidate, work)
    side = _side(candidate, work, validation)
    rows = side.answers.indices
    asked = Asked(
        split=split,
        recipe=candidate.recipe,
        prevalences=request.prevalences,
        attributes={name: [dataset.attributes[name][row] for row in rows] for name in request.attributes},
    )
    return Done(
        evaluation=evaluate.evaluate(
            candidate.subject,
            side,
            asked,
            validation=validation,
            keep_together=None if split != "validation" else np.array([chosen.groups[row] for row in rows]),
            other=None if other is None else _other_side(other, work),
            ood=_elsewhere(candidate, work, request),
        ),
        side=side,
        dataset=dataset,
    )


def _prepared(candidate: Candidate, request: Request, other: Candidate | None, report: Progress) -> _Work:
    """Return the images of the split, once labels, attributes and options have been compared with model and data."""
    if other is not None:
        comparison.require_comparable(candidate.subject.about, other.subject.about)
    _require_gates(candidate, request)
    dataset = prepare.load(candidate.recipe, _data(candidate, request), progress=report)
    answers.require_same_labels(candidate.subject, dataset)
    subgroups.require_attributes(request.attributes, dataset.attributes)
    split = request.split or ("validation" if candidate.screener is None else "test")
    chosen = _selected(candidate, dataset, split)
    if other is not None:
        evaluate.require_own_division(chosen, candidate.recipe, trained=other.trained, name=other.title)
    return _Work(dataset=dataset, chosen=chosen, split=split, report=report)


def _require_gates(candidate: Candidate, request: Request) -> None:
    if request.elsewhere and candidate.screener is None:
        raise ConfigError(
            f"--ood: expected a bundle, whose gates refuse what it is not meant for, got a "
            f"{candidate.subject.about.kind}; convert it and evaluate its bundle"
        )


def _data(candidate: Candidate, request: Request) -> Path:
    folder = request.data or candidate.data
    if folder is None:
        raise ConfigError(f"--data: required with {candidate.title}: the folder of the labelled images")
    return folder


def _selected(candidate: Candidate, dataset: Dataset, split: str) -> Selected:
    return evaluate.select(dataset, candidate.recipe, split, trained=candidate.trained, name=candidate.title)


def _validation(candidate: Candidate, work: _Work) -> Answers | None:
    """Return answers to validation, where they are not what is evaluated anyway.

    A model without thresholds cannot do without. For a bundle they give the refitted calibrations alone, and data from
    elsewhere may have no validation to divide: that is said, and the rest goes on.
    """
    if work.split == "validation":
        return None
    try:
        found = work.answered(candidate, _validation_indices(candidate, work), "validation")
        answers.require_both_classes(found, "validation", gates=candidate.screener is not None)
    except ConfigError as err:
        if candidate.rule is None:
            raise
        work.report.note(f"calibrations are not refitted, validation cannot be had: {err}")
        return None
    return found


def _validation_indices(candidate: Candidate, work: _Work) -> NDArray[np.int64]:
    chosen = work.chosen if work.chosen.validation is not None else _selected(candidate, work.dataset, "validation")
    if chosen.validation is None:
        raise ValueError("select: expected the indices of validation, got none")
    return chosen.validation


def _side(candidate: Candidate, work: _Work, validation: Answers | None) -> Side:
    found = work.answered(candidate, work.chosen.indices, work.split)
    answers.require_both_classes(found, work.split, gates=candidate.screener is not None)
    own = candidate.rule
    if own is None:
        own = rule.of_validation(
            found if validation is None else validation, candidate.recipe, model=candidate.subject.about.model
        )
    return Side(about=candidate.subject.about, answers=found, rule=own)


def _other_side(other: Candidate, work: _Work) -> Side:
    """Return the other model's answers to the same images; thresholds it lacks come from the same validation."""
    needs = other.rule is None and work.split != "validation"
    validation = work.answered(other, _validation_indices(other, work), "validation") if needs else None
    return _side(other, work, validation)


def _elsewhere(candidate: Candidate, work: _Work, request: Request) -> OodReport | None:
    if not request.elsewhere or candidate.screener is None:
        return None
    work.report.start("images from elsewhere", len(work.chosen.indices))
    return out_of_distribution.measure(
        candidate.screener,
        (work.dataset.read(int(index)) for index in work.chosen.indices),
        {name: out_of_distribution.frames(path) for name, path in request.elsewhere.items()},
        progress=work.report.advance,
    )
