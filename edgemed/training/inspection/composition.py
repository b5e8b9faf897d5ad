"""Findings about splits, labels and patients: what is there, and what two splits share.

findings = composition.findings(subject)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from edgemed.training.inspection.document import Count, Finding, Severity, many
from edgemed.training.inspection.evidence import proportions_differ
from edgemed.training.inspection.subject import ROLES, Subject

__all__ = ["counts", "findings"]

_FEW_PATIENTS = 10
_ONE_PATIENT_SHARE = 0.5
_PREVALENCE_STEP = 0.05  # smaller differences of a label's share are not worth a warning, however certain
_RARE_SHARE = 0.2


def counts(subject: Subject) -> tuple[Count, ...]:
    """Return images and patients per split and label, unreadable ones included."""
    groups = np.array(subject.listing.groups)
    found = []
    for split in subject.split_order:
        for label in _labels(subject):
            members = (subject.splits == split) & (subject.labels == label)
            patients = len(set(groups[members])) if subject.patients_known else None
            found.append(Count(split=split, label=label, images=int(members.sum()), patients=patients))
    return tuple(found)


def findings(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with splits, labels and patients."""
    yield from _unlisted(subject)
    yield from _splits(subject)
    yield from _lacking(subject)
    yield from _prevalence(subject)
    yield from _patients(subject)


def _labels(subject: Subject) -> tuple[str, ...]:
    """Return the labels, then the values that no label lists."""
    return (*subject.label_names, *sorted(set(subject.labels.tolist()) - set(subject.label_names)))


def _unlisted(subject: Subject) -> Iterator[Finding]:
    if subject.unlisted:
        images = sorted(subject.unlisted)
        values = sorted({str(subject.labels[index]) for index in images})
        shown = ", ".join(repr(value) for value in values[:5]) + (", ..." if len(values) > 5 else "")
        yield Finding(
            kind="label-unlisted",
            severity=Severity.ERROR,
            count=len(images),
            message=f"{many(len(images), 'image')} with a label value that the recipe does not list: {shown}",
            advice="list it under normal, abnormal or classes of data.source, or correct it; training refuses it",
            images=subject.numbers(images),
        )


def _splits(subject: Subject) -> Iterator[Finding]:
    present = set(subject.listing.splits)
    for role, split in subject.roles.items():
        if split not in present:
            yield Finding(
                kind="split-empty",
                severity=Severity.ERROR,
                count=0,
                message=f"no image belongs to the {role} split {split!r}; the data have {sorted(present)}",
                advice="correct the split column, or the split values of the recipe",
            )
    missing = [role for role in ROLES if role not in subject.roles]
    if missing:
        yield Finding(
            kind="split-missing",
            severity=Severity.NOTE,
            count=len(missing),
            message=f"the data name no {' and no '.join(missing)} split",
            advice="a recipe can cut validation from train by whole patients (validation_fraction); set test images "
            "apart yourself, by patient",
        )


def _lacking(subject: Subject) -> Iterator[Finding]:
    for role, split in subject.roles.items():
        here = Counter(subject.labels[subject.splits == split].tolist())
        lacking = [label for label in subject.label_names if not here[label]]
        if here and lacking:
            yield Finding(
                kind="label-missing",
                severity=Severity.ERROR,
                count=len(lacking),
                message=f"the {role} split has no image of {', '.join(lacking)}",
                advice="no sensitivity or specificity can be measured there, and training refuses it; divide again",
            )
    total = Counter(label for label in subject.labels.tolist() if label in subject.label_names)
    for label, count in sorted(total.items()):
        if len(total) > 1 and count < _RARE_SHARE * total.total() / (len(total) / 2):
            yield Finding(
                kind="label-rare",
                severity=Severity.NOTE,
                count=count,
                message=f"{label} is rare: {count} of {total.total()} images",
                advice="training weighs labels equally; expect wide intervals for it",
            )


def _prevalence(subject: Subject) -> Iterator[Finding]:
    """Compare each label's share in train with that in validation and test."""
    if "train" not in subject.roles:
        return
    train = subject.splits == subject.roles["train"]
    for role in ROLES[1:]:
        other = subject.splits == subject.roles.get(role)
        if not other.any() or not train.any():
            continue
        for label in subject.label_names[1:] if len(subject.label_names) == 2 else subject.label_names:
            first, second = (int((subject.labels[part] == label).sum()) for part in (train, other))
            sizes = int(train.sum()), int(other.sum())
            step = second / sizes[1] - first / sizes[0]
            if abs(step) > _PREVALENCE_STEP and proportions_differ((first, sizes[0]), (second, sizes[1])):
                yield Finding(
                    kind="prevalence",
                    severity=Severity.WARNING,
                    count=1,
                    message=f"{label} makes {first / sizes[0]:.0%} of train and {second / sizes[1]:.0%} of {role}",
                    advice="predictive values, accuracy and calibration of one do not hold for the other; state "
                    "them at the prevalence of use",
                )


def _patients(subject: Subject) -> Iterator[Finding]:
    if not subject.patients_known:
        yield Finding(
            kind="patients-unknown",
            severity=Severity.NOTE,
            count=0,
            message="patients are not known: each image stands alone",
            advice="name the patient's column (group) if there is one; else near_duplicate_correlation has to keep "
            "train and validation apart",
        )
        return
    images = np.arange(len(subject.listing.names))
    members: defaultdict[str, list[int]] = defaultdict(list)
    for index, group in zip(images.tolist(), subject.listing.groups, strict=True):
        members[group].append(index)
    yield from _shared_patients(subject, members)
    yield from _few_patients(subject, members)


def _shared_patients(subject: Subject, members: dict[str, list[int]]) -> Iterator[Finding]:
    shared = [group for group in members.values() if len({subject.listing.splits[index] for index in group}) > 1]
    if not shared:
        return
    test = subject.roles.get("test")
    of_test = sum(any(subject.listing.splits[index] == test for index in group) for group in shared)
    yield Finding(
        kind="patients-across-splits",
        severity=Severity.ERROR if of_test else Severity.WARNING,
        count=len(shared),
        message=f"{many(len(shared), 'patient')} in more than one split, {of_test} of them in test",
        advice="divide by patient; where equal keys of two folders mean different patients, name that column under "
        "group_within",
        groups=tuple(subject.numbers(group) for group in shared),
    )


def _few_patients(subject: Subject, members: dict[str, list[int]]) -> Iterator[Finding]:
    for label in subject.label_names:
        sizes = [
            count
            for group in members.values()
            if (count := sum(str(subject.labels[index]) == label for index in group))
        ]
        if sizes and len(sizes) < _FEW_PATIENTS:
            yield Finding(
                kind="few-patients",
                severity=Severity.WARNING,
                count=len(sizes),
                message=f"{label}: {many(sum(sizes), 'image')} of {many(len(sizes), 'patient')}, {max(sizes)} of one "
                "of them",
                advice="a model can learn the patient or the device instead of the finding; report by patient, and "
                "claim nothing from it",
            )
    largest = max(members.values(), key=len)
    if len(members) > 1 and len(largest) > _ONE_PATIENT_SHARE * len(subject.listing.names):
        yield Finding(
            kind="one-patient",
            severity=Severity.WARNING,
            count=len(largest),
            message=f"{len(largest)} of {len(subject.listing.names)} images belong to one patient",
            advice="a placeholder of de-identification may stand in the patient's place; group by another column",
        )
