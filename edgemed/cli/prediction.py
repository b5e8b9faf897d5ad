"""What ``edgemed benchmark MODEL --predict DEVICE`` shows: a range, where the time goes, and how far off it has been.

prediction.show("chest-xray", "coral-usb", json=False, save=None)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.cli import output

if TYPE_CHECKING:
    from edgemed.benchmark.figures import Figure
    from edgemed.benchmark.predict import Estimate, Prediction

__all__ = ["require_alone", "show"]

_LIMIT_BYTES = 512 << 20  # as of `edgemed compat`


def require_alone(others: Mapping[str, object]) -> None:
    """Refuse options that are about a measurement, by name and value; None is one that was not given.

    Raises:
        ConfigError: one was given.
    """
    from edgemed.errors import ConfigError

    for name, value in others.items():
        if value is not None:
            raise ConfigError(f"--predict: predicts, and {name} is about what is measured; leave one of the two away")


def show(
    subject: str | None, device: str, *, trusted: Sequence[Path] = (), json: bool = False, save: Path | None = None
) -> None:
    """Predict the inference of a model on a device, and write it to stdout, and to a file where one is named.

    Args:
        subject: a TFLite file, a bundle file, or the name of a bundle that ships.
        device: id of the target.
        trusted: files of public keys or of one trust root, for a bundle file; none for the user's own keys.
        json: print the document.
        save: file for the document.

    Raises:
        ConfigError: no such file or target, or the file for the document cannot be written.
        ConversionError: the model is not one that can be predicted.
        TargetMismatchError: nothing is published of the target.
        BundleError: the bundle does not verify.
    """
    from edgemed import schema, targets
    from edgemed.benchmark import predict

    target = targets.load(device)
    raw, name = _model(subject, trusted)
    found = predict.predict(raw, source=name, target=target)
    document = predict.document(found)
    if save is not None:
        output.write_file(save, schema.encode_document(document) + b"\n", option="--save")
    if json:
        output.print_json(document)
        return
    _render(found)


def _model(subject: str | None, trusted: Sequence[Path]) -> tuple[bytes, str]:
    """Return the int8 model of a file or a bundle, and what to call it."""
    from edgemed import files, shipped
    from edgemed.bundle import roles, trust
    from edgemed.bundle import trusted as given
    from edgemed.bundle.manifest import MODEL
    from edgemed.errors import ConfigError

    if subject is None:
        raise ConfigError(
            "--predict: expected a bundle or a .tflite file, got none; name one, for instance "
            f"{' or '.join(shipped.names())}"
        )
    if subject in shipped.names():
        bundle = trust.open_bundle(shipped.bundle_path(subject), keys=[shipped.demo_key()])
    elif subject.endswith(".edgemed"):
        root = given.from_files(list(trusted)) if trusted else roles.of_keys(trust.user_keys())
        bundle = trust.open_bundle(Path(subject), trust=root)
    else:
        return files.read_bounded(Path(subject), limit_bytes=_LIMIT_BYTES, error=ConfigError), Path(subject).name
    return bundle.members[MODEL], f"{subject}, {MODEL}"


def _render(found: Prediction) -> None:
    work = found.load
    output.fields(
        [
            ("prediction", "no measurement: from published figures of other networks"),
            ("model", found.model),
            ("device", found.target),
            ("work", f"{len(work.work)} operators, {work.multiply_adds / 1e6:.1f} million multiply-adds"),
            ("", f"{work.moved / 1e6:.1f} million values moved, {_weights(found) / 1e6:.2f} million of them weights"),
        ]
    )
    wide = ("setup", "predicted inference", "compute", "memory", "launch", "transfer", "streamed weights")
    output.table(
        wide,
        [_wide(one) for one in found.estimates],
        narrow=(("setup", "predicted inference", "where it goes"), [_narrow(one) for one in found.estimates]),
    )
    output.table(
        ("published", "setup", "ms", "error", "left out"),
        [_published(one, found.target) for one in found.figures],
        title="Errors of the same formula where the answer is known:",
    )
    output.fields(_grounds(found))


def _weights(found: Prediction) -> int:
    return sum(one.weights for one in found.load.work)


def _range(one: Estimate) -> str:
    return f"{_ms(one.low_ms)} to {_ms(one.high_ms)} ms"


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _shares(one: Estimate) -> tuple[float, ...]:
    parts = one.parts
    return parts.compute_ms, parts.memory_ms, parts.launch_ms, parts.transfer_ms, parts.streamed_ms


def _wide(one: Estimate) -> tuple[str, ...]:
    return one.setup, _range(one), *(f"{_ms(share)} ms" for share in _shares(one))


def _narrow(one: Estimate) -> tuple[str, ...]:
    names = ("compute", "memory", "launch", "transfer", "streamed")
    said = [f"{name} {_ms(share)}" for name, share in zip(names, _shares(one), strict=True) if share > 0.005]
    return one.setup, _range(one), ", ".join(said)


def _published(one: Figure, target: str) -> tuple[str, ...]:
    left_out = "not fitted" if one.left_out_error is None else f"{one.left_out_error:+.0%}"
    return one.network, one.setup.removeprefix(f"{target}, "), _ms(one.published_ms), f"{one.error:+.0%}", left_out


def _grounds(found: Prediction) -> Iterator[tuple[str, str]]:
    yield (
        "error",
        f"median {found.median_error:.0%} on all fitted figures, {found.median_left_out_error:.0%} with their network "
        "left out",
    )
    excluded = sorted({one.excluded for one in found.figures if one.excluded is not None})
    yield from (("not fitted", reason) for reason in excluded)
    yield from (("source", source) for source in sorted({one.source for one in found.figures}))
    yield from (("note", note) for note in found.notes)
