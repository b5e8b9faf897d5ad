"""The parts of the document, each from answers that are made up."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgemed import statistics
from edgemed.errors import ConfigError, GateError
from edgemed.training import evaluate
from edgemed.training.evaluation import answers, calibrations, comparison, points, several, subgroups
from edgemed.training.evaluation import rule as rules
from edgemed.training.evaluation.answers import Answers
from edgemed.training.recipe import Recipe
from tests.training.evaluation import made


def evaluated(found: Answers, recipe: Recipe, **options: object):
    asked = evaluate.Asked(split="test", recipe=recipe, **options)
    return evaluate.evaluate(made.subject(), made.side(found), asked)


class TestPoints:
    def test_every_figure_is_that_of_the_statistics(self, rng: np.random.Generator) -> None:
        found = made.drawn(rng)
        sample = made.sample(found, made.rule(0.4))
        (point,) = points.results(made.rule(0.4), sample, prevalences=(0.05,))
        rates = statistics.rates(sample.abnormal, sample.scores, 0.4)
        ratios = statistics.likelihood_ratios(rates)
        at = statistics.predictive_values(rates, prevalence=0.05)
        for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1"):
            assert getattr(point, name).ci95 == getattr(rates, name).ci95
        assert point.likelihood_ratio_positive.value == ratios.positive.value
        assert point.likelihood_ratio_negative.ci95 == (ratios.negative.low, ratios.negative.high)
        assert point.at_prevalence[0].ppv.value == at.ppv.value
        assert (point.true_positives, point.false_negatives) == (rates.true_positives, rates.false_negatives)

    def test_figures_by_patient_are_percentiles_of_the_shared_draws(self, rng: np.random.Generator) -> None:
        found = made.drawn(rng, 60, times=3)
        sample = made.sample(found, made.rule())
        (point,) = points.results(made.rule(), sample, prevalences=())

        def f1(labels: np.ndarray, values: np.ndarray) -> float:
            found = statistics.rates(labels, values, 0.5).f1
            return 0.0 if found is None else found.value

        expected = statistics.bootstrap(
            sample.abnormal, sample.scores, f1, rng=np.random.default_rng(3), groups=found.groups
        )
        assert point.f1.ci95_by_patient == pytest.approx(expected.ci95)

    def test_several_points_are_listed_and_one_is_in_force(self, rng: np.random.Generator) -> None:
        rule = made.rule(0.5, 0.2, 0.8)
        found = points.results(rule, made.sample(made.drawn(rng), rule), prevalences=())
        assert [(point.threshold, point.active) for point in found] == [(0.5, True), (0.2, False), (0.8, False)]
        assert found[1].sensitivity.value >= found[0].sensitivity.value >= found[2].sensitivity.value


class TestCalibrations:
    def test_maps_are_fitted_on_validation_and_shown_on_the_split(self, rng: np.random.Generator) -> None:
        found, validation = made.drawn(rng), made.drawn(rng, 400)
        sample = made.sample(found, made.rule(slope=3.0))
        compared = calibrations.compared(sample, in_force="words", validation=validation, keep_together=None)
        assert [table.method for table in compared.tables] == ["none", "in force", "platt", "temperature", "isotonic"]
        platt = statistics.platt(validation.abnormality, validation.abnormal).scores(found.abnormality)
        assert compared.tables[2].brier == statistics.brier(found.abnormal, platt)
        assert compared.tables[2].fitted_on == "validation, 400 images"
        assert compared.tables[0].brier == statistics.brier(found.abnormal, statistics.sigmoid(found.abnormality))
        assert compared.in_force.expected_calibration_error == statistics.expected_calibration_error(
            found.abnormal, sample.scores
        )

    def test_no_image_of_validation_is_judged_by_a_map_that_has_seen_it(self, rng: np.random.Generator) -> None:
        # Noise: isotonic regression on the images themselves would look far better than chance.
        found = made.answered(rng.normal(size=300), rng.integers(0, 2, 300))
        folds = statistics.folds(found.abnormal, found.groups, 5, rng=rng)
        assert folds is not None
        honest = calibrations.refitted("isotonic", found.abnormality, found.abnormal, folds)
        own = statistics.isotonic(found.abnormality, found.abnormal).scores(found.abnormality)
        constant = found.abnormal.mean() * (1 - found.abnormal.mean())
        assert statistics.brier(found.abnormal, own) < constant < statistics.brier(found.abnormal, honest)

    def test_folds_keep_what_belongs_together(self, rng: np.random.Generator) -> None:
        found = made.drawn(rng, 60, times=3)
        sample = made.sample(found, made.rule())
        compared = calibrations.compared(sample, in_force="words", validation=None, keep_together=found.groups)
        assert {table.fitted_on for table in compared.tables[2:]} == {
            "validation, in 5 folds of whole patients, each scored by the fit of the others"
        }
        folds = statistics.folds(found.abnormal, found.groups, 5, rng=rng)
        assert folds is not None
        assert all(len(set(folds[found.groups == group])) == 1 for group in set(found.groups))

    def test_fewer_patients_than_folds_leave_the_refitted_maps_out(self) -> None:
        found = made.answered([1.0, 2.0, -1.0, -2.0], [1, 1, 0, 0])
        compared = calibrations.compared(
            made.sample(found, made.rule()), in_force="words", validation=None, keep_together=found.groups
        )
        assert [table.method for table in compared.tables] == ["none", "in force"]

    def test_map_that_cannot_be_fitted_is_said(self, rng: np.random.Generator) -> None:
        falling = made.answered([2.0, 1.0, -1.0, -2.0], [0, 0, 1, 1])
        compared = calibrations.compared(
            made.sample(made.drawn(rng), made.rule()), in_force="words", validation=falling, keep_together=None
        )
        assert [table.method for table in compared.tables] == ["none", "in force", "isotonic"]
        assert compared.failures[0] == (
            "The platt calibration cannot be fitted on validation: logits: expected to rise with abnormality, got a "
            "falling or flat fit; check labels and model."
        )


class TestSubgroups:
    def test_each_value_has_its_own_figures_and_unknown_ones_come_last(self, rng: np.random.Generator) -> None:
        found = made.drawn(rng, 200)
        sites = [("a", "b", None)[index % 3] for index in range(200)]
        sample = made.sample(found, made.rule())
        table = subgroups.table(sample, sites, attribute="site", threshold=0.5)
        assert [(row.value, row.n) for row in table] == [("a", 67), ("b", 67), (None, 66)]
        chosen = np.array([site == "a" for site in sites])
        assert table[0].auc.value == statistics.auc(found.abnormal[chosen], found.abnormality[chosen])
        rates = statistics.rates(found.abnormal[chosen], sample.scores[chosen], 0.5)
        assert table[0].sensitivity.ci95 == rates.sensitivity.ci95

    def test_few_images_are_marked_and_an_area_of_one_class_is_absent(self) -> None:
        found = made.answered([1.0] * 40 + [-1.0] * 40 + [2.0], [1] * 40 + [0] * 40 + [1])
        values = ["many"] * 80 + ["one"]
        many, one = subgroups.table(made.sample(found, made.rule()), values, attribute="device", threshold=0.5)
        assert (many.few, one.few) == (False, True)
        assert (one.auc, one.specificity) == (None, None)

    def test_unknown_attribute_names_the_near_one(self) -> None:
        with pytest.raises(ConfigError) as caught:
            subgroups.require_attributes(["sit"], {"site": (), "device": ()})
        assert str(caught.value) == "--subgroup: expected one of device, site, got 'sit'; did you mean 'site'?"

    def test_data_without_attributes_say_so(self) -> None:
        with pytest.raises(ConfigError) as caught:
            subgroups.require_attributes(["site"], {})
        assert str(caught.value) == "--subgroup: expected none: the recipe's data name no attributes, got 'site'"


class TestComparison:
    def test_areas_and_flips_are_those_of_the_statistics(self, rng: np.random.Generator) -> None:
        one = made.drawn(rng, 150)
        other = made.answered(one.abnormality + rng.normal(size=150), one.abnormal, list(one.groups))
        found = comparison.compared(made.side(one, made.rule(0.5)), made.side(other, made.rule(0.6)), seed=3)
        paired = statistics.paired_delong(one.abnormal, one.abnormality, other.abnormality)
        assert (found.difference.value, found.difference.ci95, found.p_value) == (
            paired.difference,
            paired.ci95,
            paired.p_value,
        )
        (point,) = found.points
        first, second = one.abnormality >= 0.0, other.abnormality >= np.log(0.6 / 0.4)
        right, also = first == one.abnormal, second == one.abnormal
        assert point.flipped == (first != second).sum() == point.to_alert + point.to_clear
        assert point.p_value == statistics.mcnemar(int((right & ~also).sum()), int((~right & also).sum()))

    def test_only_images_that_both_scored_count(self) -> None:
        one = made.answered([2.0, 1.0, -1.0, -2.0, 3.0], [1, 1, 0, 0, 1])
        kept = np.arange(4)
        fewer = Answers(
            indices=kept,
            classes=one.classes[kept],
            abnormal=one.abnormal[kept],
            logits=one.logits[kept],
            abnormality=one.abnormality[kept],
            groups=one.groups[kept],
            decisions={},
            unscored=1,
        )
        assert comparison.compared(made.side(one), made.side(fewer), seed=3).n == 4

    def test_no_shared_point_compares_those_in_force(self) -> None:
        one = made.answered([2.0, 1.0, -1.0, -2.0], [1, 1, 0, 0])
        rule = made.rule(0.3)
        point = msgspec.structs.replace(rule.operating_point, name="rule-in")
        renamed = msgspec.structs.replace(rule, operating_points=(point,), active="rule-in")
        (point,) = comparison.compared(made.side(one), made.side(one, renamed), seed=3).points
        assert (point.name, point.flipped, point.p_value) == ("point-0 / rule-in", 0, 1.0)

    def test_model_of_other_labels_is_refused(self) -> None:
        with pytest.raises(ConfigError) as caught:
            comparison.require_comparable(made.about(), made.about(name="lungs", labels=("normal", "pneumonia")))
        assert str(caught.value) == (
            "--compare: blobs tells apart plain / blob, the other model, lungs, normal / pneumonia; compare models of "
            "the same labels"
        )

    def test_by_patient_the_difference_is_drawn_within_resamples(self, rng: np.random.Generator) -> None:
        one = made.drawn(rng, 50, times=3)
        other = made.answered(one.abnormality + 0.5 * rng.normal(size=150), one.abnormal, list(one.groups))
        found = comparison.compared(made.side(one), made.side(other), seed=3).difference
        assert found.ci95_by_patient is not None
        assert found.ci95_by_patient[0] < found.value < found.ci95_by_patient[1]


class TestSeveral:
    @staticmethod
    def answers(rng: np.random.Generator, n: int = 120) -> Answers:
        classes = np.arange(n) % 3
        logits = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[classes]
        return Answers(
            indices=np.arange(n),
            classes=classes,
            abnormal=classes == 2,
            logits=logits,
            abnormality=np.array(made.THREE.abnormality(logits)),
            groups=np.array(list(map(str, range(n)))),
            decisions={},
            unscored=0,
        )

    def test_figures_are_those_of_scikit_learn(self, rng: np.random.Generator) -> None:
        metrics = pytest.importorskip("sklearn.metrics")
        found = self.answers(rng)
        result = several.result(found, made.THREE, seed=3)
        shares = np.exp(found.logits) / np.exp(found.logits).sum(axis=1, keepdims=True)
        assert result is not None
        assert result.macro_auc.value == pytest.approx(
            metrics.roc_auc_score(found.classes, shares, multi_class="ovr", average="macro")
        )
        expected = metrics.confusion_matrix(found.classes, shares.argmax(axis=1))
        assert result.confusion == tuple(map(tuple, expected.tolist()))
        assert result.accuracy.value == metrics.accuracy_score(found.classes, shares.argmax(axis=1))

    def test_document_screens_by_the_abnormality_and_names_the_labels(
        self, rng: np.random.Generator, blob_recipe: Recipe
    ) -> None:
        found = self.answers(rng)
        asked = evaluate.Asked(split="test", recipe=blob_recipe)
        side = made.side(found, labels=made.THREE.names, normal_labels=made.THREE.normal)
        document = evaluate.evaluate(made.subject(made.THREE), side, asked)
        assert document.n_abnormal == 40
        assert document.auc.value == statistics.auc(found.abnormal, found.abnormality)
        assert document.several is not None
        assert list(document.several.one_vs_rest) == ["normal", "benign", "malignant"]

    def test_model_of_one_logit_has_none(self, rng: np.random.Generator) -> None:
        assert several.result(made.drawn(rng), made.BINARY, seed=3) is None

    def test_label_without_two_images_is_refused(self, rng: np.random.Generator) -> None:
        found = self.answers(rng, 5)
        with pytest.raises(ConfigError) as caught:
            several.require_every_label(found, made.THREE, "test")
        assert str(caught.value) == (
            "test split: expected at least 2 images of each label that can be scored, got 2 normal, 2 benign, "
            "1 malignant; evaluate a split with all labels"
        )

    def test_data_of_other_labels_are_refused(self) -> None:
        images = made.dataset([100.0, 150.0], [0, 1], label_names=("normal", "malignant", "benign"))
        with pytest.raises(ConfigError) as caught:
            answers.require_same_labels(made.subject(made.THREE), images)
        assert str(caught.value) == (
            "labels: blobs tells apart 'normal', 'benign', 'malignant' with 'normal', 'benign' normal, the data "
            "'normal', 'malignant', 'benign' with 'normal' normal; give the recipe it was trained by with --recipe"
        )


class TestRule:
    def test_threshold_reaches_the_criterion_on_validation(self, rng: np.random.Generator, blob_recipe: Recipe) -> None:
        found = made.drawn(rng, 300)
        rule = rules.of_validation(found, blob_recipe, model="sha256:" + "1" * 64)
        point = rule.operating_point
        assert (point.name, point.criterion) == ("rule-out", "sensitivity >= 0.9 on validation")
        assert point.sensitivity >= 0.9
        assert rule.calibration.slope == statistics.platt(found.abnormality, found.abnormal).slope

    def test_logits_that_fall_are_refused(self, blob_recipe: Recipe) -> None:
        with pytest.raises(GateError) as caught:
            rules.of_validation(made.answered([2.0, 1.0, -1.0], [0, 0, 1]), blob_recipe, model="x")
        assert str(caught.value) == (
            "calibration: the logits cannot be calibrated on validation: logits: expected to rise with abnormality, "
            "got a falling or flat fit; check labels and model; train further"
        )


class TestDocument:
    def test_cautions_name_what_flatters_and_what_rests_on_few(self, blob_recipe: Recipe) -> None:
        found = made.answered([2.0, 1.0, -1.0, -2.0] * 10, [1, 1, 0, 0] * 10, unscored=2)
        document = evaluated(found, blob_recipe, attributes={"site": ["a", "b"] * 20})
        assert document.cautions == (
            "Only 20 abnormal images: the sensitivity is known within its wide interval at best.",
            "Only 20 normal images: the specificity is known within its wide interval at best.",
            "2 images were refused before inference and enter no figure but the count of decisions.",
            "No patient is known to have several images here: intervals take images as independent, which flatters "
            "where patients repeat unseen.",
            "2 of 2 subgroups rest on fewer than 30 images of a kind; they are marked.",
        )

    def test_model_without_gates_decides_by_threshold_and_zone(self, blob_recipe: Recipe) -> None:
        found = made.answered([3.0, 0.1, -0.1, -3.0], [1, 1, 0, 0])
        asked = evaluate.Asked(split="test", recipe=blob_recipe)
        document = evaluate.evaluate(made.subject(), made.side(found, made.rule(0.5, zone=0.1)), asked)
        assert document.decisions == {"alert": 1, "clear": 1, "indeterminate": 2, "refused": 0}
        assert (document.bundle, document.decision_version) == (None, None)
        assert document.thresholds == "Platt scaling and thresholds fitted on this model's answers to validation"

    def test_net_benefit_is_that_of_the_statistics(self, rng: np.random.Generator, blob_recipe: Recipe) -> None:
        found = made.drawn(rng)
        curve = evaluated(found, blob_recipe).decision_curve
        scores = made.sample(found, made.rule()).scores
        expected = statistics.decision_curve(found.abnormal, scores, curve.thresholds)
        assert curve.model == pytest.approx(expected.model)
        assert len(curve.thresholds) == 99
