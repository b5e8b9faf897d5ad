"""What changed between two bundles, a `Change` for each fact: what a reviewer reads before a release.

Rules: only documents are compared, nothing is run; a section without a change is named as the same; figures of
evaluations are set side by side, and whether they differ by more than chance is not judged here.

    for change in difference.compare(before, after):
        print(change.section, change.what, change.before, change.after)
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from edgemed import schema, tflite
from edgemed.bundle import card, models
from edgemed.bundle.trust import Inspection
from edgemed.errors import BundleError, ConversionError
from edgemed.tflite import Model, Tensor

__all__ = ["SECTIONS", "Change", "compare"]

SECTIONS = (
    "identity",
    "targets",
    "model",
    "preprocessing",
    "decision",
    "evidence",
    "golden",
    "signatures",
    "other files",
)
_IDENTITY = (
    "name",
    "version",
    "release",
    "task",
    "intended_use",
    "modalities",
    "body_part",
    "labels",
    "normal_labels",
    "outputs",
    "minimum_runtime",
)
_GOLDEN, _TOLERANCE = "golden/", "golden/tolerance.json"
_COMPARED = ("preprocessing.json", "decision.json", *models.MODELS)  # their contents have sections
_LONG = 200  # characters; longer texts are encoded arrays


class _Preprocessing(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold of ``preprocessing.json`` so that its steps can be compared."""

    steps: tuple[dict[str, Any], ...] = ()


class _Point(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    threshold: float | None = None
    sensitivity: float | None = None
    sensitivity_ci95: tuple[float, float] | None = None
    specificity: float | None = None
    specificity_ci95: tuple[float, float] | None = None


class _Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold of ``decision.json`` so that its operating points can be compared."""

    operating_points: tuple[_Point, ...] = ()


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    score: float


class _Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold of ``golden/tolerance.json`` so that its entries can be compared."""

    entries: tuple[_Entry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Change:
    """One fact that differs.

    Attributes:
        section: one of `SECTIONS`.
        what: the fact, as a path of names.
        before, after: JSON values; None where the fact is absent.
        note: what that means, in words; empty where the values say it.
    """

    section: str
    what: str
    before: Any
    after: Any
    note: str = ""


def compare(before: Inspection, after: Inspection) -> tuple[Change, ...]:
    """Return every difference, section by section in the order of `SECTIONS`.

    Raises:
        BundleError: a document or the int8 model of one of them is malformed.
    """
    return (
        *_identity(before, after),
        *_targets(before, after),
        *_model(before, after),
        *_preprocessing(before, after),
        *_decision(before, after),
        *_evidence(before, after),
        *_golden(before, after),
        *_signatures(before, after),
        *_others(before, after),
    )


def _identity(before: Inspection, after: Inspection) -> Iterator[Change]:
    for name in _IDENTITY:
        old, new = (_or_absent(getattr(side.manifest, name)) for side in (before, after))
        if old == new:
            continue
        back = name == "release" and after.manifest.release < before.manifest.release
        note = "a device that has seen the first refuses the second" if back else ""
        yield Change(section="identity", what=name, before=old, after=new, note=note)


def _or_absent(value: Any) -> Any:
    """Return a value of a manifest; what one leaves out is None."""
    return None if value is msgspec.UNSET else value


def _targets(before: Inspection, after: Inspection) -> Iterator[Change]:
    yield from _sets("targets", "target", before.manifest.targets, after.manifest.targets)


def _signatures(before: Inspection, after: Inspection) -> Iterator[Change]:
    yield from _sets("signatures", "key", before.keyids, after.keyids)


def _sets(section: str, what: str, before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if (name in before) != (name in after):
            old, new = (name if name in side else None for side in (before, after))
            yield Change(section=section, what=what, before=old, after=new)


def _model(before: Inspection, after: Inspection) -> Iterator[Change]:
    for name in models.MODELS:
        old, new = before.manifest.members.get(name), after.manifest.members.get(name)
        if old == new:
            continue
        yield Change(section="model", what=name, before=old and old.sha256, after=new and new.sha256)
        if old is not None and new is not None and old.size_bytes != new.size_bytes:
            yield Change(section="model", what=f"{name} bytes", before=old.size_bytes, after=new.size_bytes)
    if before.members[models.INT8] != after.members[models.INT8]:
        yield from _flat("model", _structure(before), _structure(after))


def _structure(bundle: Inspection) -> dict[str, Any]:
    """Return how often each operator occurs in the int8 model, and what goes in and out."""
    try:
        model = tflite.read(bundle.members[models.INT8], source=models.INT8)
    except ConversionError as err:
        raise BundleError(str(err)) from err
    return {"operators": dict(sorted(_operators(model).items())), **_ends(model)}


def _operators(model: Model) -> Counter[str]:
    return Counter(operator.name for operator in model.operators)


def _ends(model: Model) -> dict[str, Any]:
    return {
        "inputs": {name: _described(tensor) for name, tensor in model.inputs.items()},
        "outputs": {name: _described(tensor) for name, tensor in model.outputs.items()},
    }


def _described(tensor: Tensor) -> str:
    scale = ", ".join(f"{value:.6g}" for value in tensor.scales)
    zero = ", ".join(str(value) for value in tensor.zero_points)
    return f"{tensor.dtype} {tuple(tensor.shape)}" + (f", scale {scale}, zero point {zero}" if scale else "")


def _preprocessing(before: Inspection, after: Inspection) -> Iterator[Change]:
    old, new = (_json(bundle, "preprocessing.json", _Preprocessing) for bundle in (before, after))
    steps = old.pop("steps", []), new.pop("steps", [])
    yield from _flat("preprocessing", old, new)
    kinds = [[_kind(step) for step in side] for side in steps]
    matcher = difflib.SequenceMatcher(None, kinds[0], kinds[1], autojunk=False)
    for tag, start, end, other, until in matcher.get_opcodes():
        if tag == "equal":
            for first, second in zip(steps[0][start:end], steps[1][other:until], strict=True):
                yield from _flat("preprocessing", first, second, prefix=_kind(second))
            continue
        for number in range(start, end):
            yield Change(
                section="preprocessing", what=_numbered(steps[0], number), before=_rest(steps[0][number]), after=None
            )
        for number in range(other, until):
            yield Change(
                section="preprocessing", what=_numbered(steps[1], number), before=None, after=_rest(steps[1][number])
            )


def _numbered(steps: Sequence[dict[str, Any]], number: int) -> str:
    return f"step {number + 1}, {_kind(steps[number])}"


def _rest(step: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in step.items() if key != "step"}


def _kind(step: dict[str, Any]) -> str:
    return str(step.get("step"))


def _decision(before: Inspection, after: Inspection) -> Iterator[Change]:
    old, new = (_by_name(_json(bundle, "decision.json", _Decision)) for bundle in (before, after))
    active = new.get("active")
    # Scores of another model, or calibrated otherwise, are other scores: their thresholds do not compare.
    comparable = all(old.get(key) == new.get(key) for key in ("model", "calibration"))
    for side in (old, new):
        side.pop("model", None)  # the model's section says it
    for change in _flat("decision", old, new):
        if change.what == f"{active}.threshold" and None not in (change.before, change.after):
            yield replace(change, note=_meaning(change) if comparable else "in force; of other scores")
        else:
            yield change


def _meaning(change: Change) -> str:
    lower = change.after < change.before
    return f"in force; {'lower: more' if lower else 'higher: fewer'} images become alerts"


def _by_name(decision: dict[str, Any]) -> dict[str, Any]:
    """Return a decision document with each operating point under its name, figures with their intervals."""
    points = decision.pop("operating_points", [])
    return {**decision, **{point["name"]: _point(point) for point in points}}


def _point(point: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in point.items() if key != "name" and not key.endswith("_ci95")}
    for name in ("sensitivity", "specificity"):
        value, interval = point.get(name), point.get(f"{name}_ci95")
        if value is not None and interval is not None:
            shown[name] = f"{value:.4f} [{', '.join(f'{end:.4f}' for end in interval)}]"
    return shown


def _evidence(before: Inspection, after: Inspection) -> Iterator[Change]:
    yield from _flat("evidence", _figures(before), _figures(after))


def _figures(bundle: Inspection) -> dict[str, Any]:
    """Return AUC, sensitivity and specificity of each evaluation, as a reader compares them, and how many images."""
    found: dict[str, Any] = {}
    for name, result in card.evaluations(bundle.members).items():
        found[f"{name} {result.split}.images"] = result.n
        found[f"{name} {result.split}.AUC"] = str(result.auc)
        for point in result.operating_points:
            for kind, figure in (("sensitivity", point.sensitivity), ("specificity", point.specificity)):
                found[f"{name} {result.split}.{point.name}.{kind}"] = None if figure is None else str(figure)
    return found


def _golden(before: Inspection, after: Inspection) -> Iterator[Change]:
    yield from _flat("golden", _tolerance(before), _tolerance(after))
    old, new = (
        {name: raw for name, raw in bundle.members.items() if name.startswith(_GOLDEN) and name != _TOLERANCE}
        for bundle in (before, after)
    )
    if differing := [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]:
        yield Change(section="golden", what="files", before="values", after="other values", note=", ".join(differing))


def _tolerance(bundle: Inspection) -> dict[str, Any]:
    """Return how many vectors there are, and the tolerance on each platform."""
    vectors = sum(name.startswith(_GOLDEN) and name.endswith(".plane.png") for name in bundle.members)
    found: dict[str, Any] = {"vectors": vectors}
    if _TOLERANCE in bundle.members:
        document = _json(bundle, _TOLERANCE, _Tolerance)
        found["reference"] = document.get("reference")
        for entry in document.get("entries", []):
            where = "/".join(str(entry.get(key)) for key in ("backend", "kernels", "architecture"))
            where += " accelerated" if entry.get("accelerated") else ""
            member = entry.get("member", models.INT8)
            found[where if member == models.INT8 else f"{where} {member}"] = (
                f"{entry.get('logit_lsb')} LSB, score {entry['score']:.4f}, {entry.get('plane_gray')} grey levels "
                f"on {entry.get('n')} images"
            )
    return found


def _others(before: Inspection, after: Inspection) -> Iterator[Change]:
    """Name the files that differ and whose contents no other section tells."""
    old, new = before.manifest.members, after.manifest.members
    for name in sorted({*old, *new} - set(_COMPARED)):
        if old.get(name) != new.get(name) and not name.startswith(_GOLDEN):
            sides = [side[name].sha256 if name in side else None for side in (old, new)]
            yield Change(section="other files", what=name, before=sides[0], after=sides[1])


def _flat(section: str, before: Mapping[str, Any], after: Mapping[str, Any], *, prefix: str = "") -> Iterator[Change]:
    """Yield what differs between two JSON objects, one change for each leaf."""
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key), after.get(key)
        what = f"{prefix}.{key}" if prefix else key
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _flat(section, old, new, prefix=what)
        elif _is_long(old) or _is_long(new):
            sides = ("values" if old is not None else None, "other values" if new is not None else None)
            yield Change(section=section, what=what, before=sides[0], after=sides[1])
        else:
            yield Change(section=section, what=what, before=old, after=new)


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > _LONG


def _json(bundle: Inspection, name: str, shape: type[msgspec.Struct]) -> dict[str, Any]:
    """Return a document as it is written, once it has the shape that is relied on."""
    tree = schema.decode_json(bundle.members[name], dict[str, Any], source=name, error=BundleError)
    schema.from_builtins(tree, shape, source=name, error=BundleError)
    return tree
