"""Findings about pictures that show the same, pixel for pixel or nearly, within and across splits.

findings = duplicates.findings(subject)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from edgemed.training import likeness
from edgemed.training.inspection.document import Finding, Severity, many
from edgemed.training.inspection.subject import Subject

__all__ = ["findings"]

_LISTED = 5000  # pairs that a document lists


def findings(subject: Subject) -> Iterator[Finding]:
    """Yield repeated pictures, those with conflicting labels apart."""
    exact = likeness.same_pixels(subject.traits.digests)
    yield from _exact(subject, exact)
    near = sorted(likeness.near_pairs(subject.traits.thumbnails, subject.near))
    yield from _near(subject, near)


def _exact(subject: Subject, groups: Sequence[tuple[int, ...]]) -> Iterator[Finding]:
    across = [group for group in groups if _crosses(subject, group)]
    within = [group for group in groups if not _crosses(subject, group)]
    if within:
        yield Finding(
            kind="repeated",
            severity=Severity.WARNING,
            count=len(within),
            message=f"{many(len(within), 'group')} of identical pictures within one split, {_members(within)} images",
            advice="deduplicate: exact under data.splits keeps one of each in train",
            groups=tuple(map(subject.numbers, within)),
        )
    if across:
        test = sum(_holds_test(subject, group) for group in across)
        yield Finding(
            kind="repeated-across-splits",
            severity=Severity.ERROR if test else Severity.WARNING,
            count=len(across),
            message=f"{many(len(across), 'group')} of identical pictures across splits, {test} of them with test "
            f"({_between(subject, across)})",
            advice=_apart(test=test, of=len(across)),
            groups=tuple(map(subject.numbers, across)),
        )
    if conflicting := [group for group in groups if len({str(subject.labels[index]) for index in group}) > 1]:
        yield Finding(
            kind="repeated-conflicting",
            severity=Severity.ERROR,
            count=len(conflicting),
            message=f"{many(len(conflicting), 'group')} of identical pictures with different labels",
            advice="ask who labelled them; deduplicate: exact under data.splits drops them from train",
            groups=tuple(map(subject.numbers, conflicting)),
        )


def _near(subject: Subject, pairs: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    limit = f"thumbnails correlate above {subject.near:g}"
    groups = subject.listing.groups
    own = [pair for pair in pairs if subject.patients_known and groups[pair[0]] == groups[pair[1]]]
    if pairs:
        across = [pair for pair in pairs if _crosses(subject, pair)]
        same = f", {len(own)} of one patient each" if subject.patients_known else ""
        yield Finding(
            kind="near-duplicates",
            severity=Severity.WARNING if len(own) < len(pairs) else Severity.NOTE,
            count=len(pairs),
            message=f"{many(len(pairs), 'pair')} of nearly identical pictures ({limit}), {len(across)} across "
            f"splits{same}",
            advice="near_duplicate_correlation under data.splits keeps each pair on one side of train and validation; "
            "deduplicate: near keeps one of them in train",
            groups=tuple(map(subject.numbers, pairs[:_LISTED])),
        )
        if across:
            test = sum(_holds_test(subject, pair) for pair in across)
            yield Finding(
                kind="near-duplicates-across-splits",
                severity=Severity.WARNING,
                count=len(across),
                message=f"{many(len(across), 'nearly identical pair')} across splits ({_between(subject, across)})",
                advice=_apart(test=test, of=len(across)),
                groups=tuple(map(subject.numbers, across[:_LISTED])),
            )
    if conflicting := [pair for pair in pairs if subject.labels[pair[0]] != subject.labels[pair[1]]]:
        yield Finding(
            kind="near-duplicates-conflicting",
            severity=Severity.WARNING,
            count=len(conflicting),
            message=f"{many(len(conflicting), 'nearly identical pair')} with different labels",
            advice="look at them with --sheet; deduplicate: near under data.splits drops them from train",
            groups=tuple(map(subject.numbers, conflicting[:_LISTED])),
        )


def _apart(*, test: int, of: int) -> str:
    """Return what to do about groups across splits, ``test`` of which hold a test image."""
    words = ["near_duplicate_correlation under data.splits moves train pictures to validation with their likes"] * (
        test < of
    )
    if test:
        words.insert(0, "figures on test flatter: like_test: drop under data.splits takes those out of train")
    return "; ".join(words)


def _crosses(subject: Subject, group: Sequence[int]) -> bool:
    return len({subject.listing.splits[index] for index in group}) > 1


def _holds_test(subject: Subject, group: Sequence[int]) -> bool:
    return any(subject.listing.splits[index] == subject.roles.get("test") for index in group)


def _members(groups: Sequence[Sequence[int]]) -> int:
    return sum(map(len, groups))


def _between(subject: Subject, groups: Sequence[Sequence[int]]) -> str:
    """Return how many groups lie between which splits, the commonest first."""
    order = subject.split_order
    found = Counter(
        "-".join(sorted({subject.listing.splits[index] for index in group}, key=order.index)) for group in groups
    )
    return ", ".join(f"{count} {places}" for places, count in found.most_common())
