"""The page ``conversion.html``: one file for a reader without tools, network or scripts.

It shows what `converters.report` holds, and the answers of both models where the caller gives them; like the document
it names no image.

    text = page.render_html(report, paired=paired)
"""

from __future__ import annotations

from collections.abc import Iterator

from converters import parity
from converters.jetson import Agreement
from converters.report import plots
from converters.report.document import Report, table_rows
from converters.report.fidelity import Fidelity, LayerError
from converters.report.latency import Timing
from converters.report.plots import Paired
from edgemed.pages import Picture, render

__all__ = ["render_html"]

_TEMPLATE = "page.html.j2"
_LAYERS_SHOWN = 15


def render_html(report: Report, *, paired: Paired | None = None) -> str:
    """Return the page.

    Args:
        report: the document.
        paired: answers of both models to the images of the gate part; without them two plots are left out.
    """
    return render(
        "converters.report",
        _TEMPLATE,
        report=report,
        rows=table_rows(report),
        failures=parity.failures(report.parity),
        pictures=tuple(_pictures(report, paired)),
        layers=() if report.fidelity is None else tuple(map(_layer_row, report.fidelity.layers[:_LAYERS_SHOWN])),
        layer_count=0 if report.fidelity is None else len(report.fidelity.layers),
        latency=() if report.latency is None else tuple(_latency_rows(report)),
    )


def _pictures(report: Report, paired: Paired | None) -> Iterator[Picture]:
    mode = report.mode.value
    if report.fidelity is not None and any(error.own_snr_db is not None for error in report.fidelity.layers):
        yield _noise(report.fidelity)
    if paired is not None:
        yield from _answers(paired, mode)
    if any(line.scales for line in report.coverage.tensors):
        yield Picture(
            title="Scales",
            svg=plots.scales(report.coverage),
            caption="What one step of the integers stands for. A kernel's line spans its channels: a long one means "
            "channels of very different size. An activation far above those before it hides them.",
            alt="Scale of every kernel and activation against its place in the graph, logarithmic",
        )
    for member, agreement in report.agreements.items():
        yield _agreement(member, agreement)
    if report.latency is not None:
        fast, slow = report.latency.converted.p50_ms, report.latency.of_float.p50_ms
        yield Picture(
            title="Latency on this machine",
            svg=plots.latencies(report.latency, converted=mode),
            caption=f"Share of {report.latency.runs} inferences of each model, taken in turns on LiteRT with XNNPACK, "
            f"that are done within a time; {report.latency.warm_up} before them were not counted. "
            "It is not the latency of the target.",
            alt=f"Cumulative distribution of latency: median {fast:.2f} ms {mode}, {slow:.2f} ms float",
        )


def _agreement(member: str, agreement: Agreement) -> Picture:
    furthest = max(abs(apart) for run in agreement.runs for apart, _ in run.logit_lsb)
    return Picture(
        title=f"{member} against TFLite",
        svg=plots.lsb_differences(agreement),
        caption=f"Differences of the logit on {agreement.n} validation images, in LSB of the int8 model, by "
        f"onnxruntime on this CPU: as the graph is written, and with onnxruntime's own fusions. AUC of TFLite "
        f"{agreement.auc_tflite:.4f}.",
        alt=f"Histogram of differences of the logit, at most {furthest} LSB",
    )


def _noise(fidelity: Fidelity) -> Picture:
    worst = fidelity.layers[0]
    return Picture(
        title="Noise, layer by layer",
        svg=plots.layer_noise(fidelity),
        caption=f"The layers that add most, worst first, on {fidelity.planes} validation planes against "
        f"{fidelity.against}. Bar: what the layer makes of its int8 input, against the float layer on the same input. "
        "Diamond: its int8 activation against the float model's from the same plane. 20 dB: the noise is a tenth of "
        "the signal.",
        alt=f"Bar chart of signal-to-noise ratios; the worst layer is {worst.layer} with {_decibel(worst.own_snr_db)}",
    )


def _answers(paired: Paired, mode: str) -> Iterator[Picture]:
    count, flipped = len(paired.labels), int(paired.flipped.sum())
    yield Picture(
        title="Logits",
        across=False,
        svg=plots.logits(paired, converted=mode),
        caption=f"{count} images of the gate part, each once. Both models at their own threshold decide {flipped} of "
        "them differently.",
        alt=f"Scatter of {count} logits, float against {mode}; {flipped} images are decided differently",
    )
    apart = abs(paired.scores_converted - paired.scores_float)
    yield Picture(
        title="Differences of scores",
        across=False,
        svg=plots.score_differences(paired, converted=mode),
        caption=f"Calibrated scores of the same images, each model by its own calibration: {apart.mean():.4f} apart in "
        f"the mean, {apart.max():.4f} at most.",
        alt=f"Histogram of score differences, largest {apart.max():.4f}",
    )


def _layer_row(error: LayerError) -> tuple[str, ...]:
    return (
        error.layer,
        error.operator,
        _decibel(error.own_snr_db),
        _decibel(error.snr_db),
        "–" if error.cosine is None else f"{error.cosine:.4f}",
        "–" if error.scale is None else f"{error.scale:.3g}",
        "–" if error.zero_point is None else str(error.zero_point),
        f"{error.saturated:.1%}",
        f"{error.clipped:.2%}",
        " × ".join(map(str, error.shape[1:])),
    )


def _decibel(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f} dB"


def _latency_rows(report: Report) -> Iterator[tuple[str, ...]]:
    if report.latency is not None:
        yield report.mode.value, *_times(report.latency.converted)
        yield "float32", *_times(report.latency.of_float)


def _times(timing: Timing) -> tuple[str, ...]:
    tail = "–" if timing.p99_ms is None else f"{timing.p99_ms:.2f}"
    return f"{timing.p50_ms:.2f}", f"{timing.p90_ms:.2f}", tail, f"{timing.max_ms:.2f}"
