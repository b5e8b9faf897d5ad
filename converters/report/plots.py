"""The plots of a conversion, each a scalable picture as text (SVG) that needs nothing from outside.

svg = plots.layer_noise(report.fidelity)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.jetson import Agreement
from converters.report.coverage import Coverage
from converters.report.fidelity import Fidelity, LayerError
from converters.report.latency import Latency
from edgemed.pages import drawing
from edgemed.runtime.interpreter import Kernels

__all__ = ["Paired", "latencies", "layer_noise", "logits", "lsb_differences", "scales", "score_differences"]

_LAYERS_SHOWN = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Paired:
    """What both models answer to the images of the gate part; no name of an image.

    Attributes:
        labels: (n,), 0 normal and 1 abnormal.
        logits_float, logits_converted: (n,), in each model's own unit.
        scores_float, scores_converted: (n,), calibrated, in [0, 1].
        threshold_float, threshold_converted: as logits, each model's own.
    """

    labels: NDArray[np.int64]
    logits_float: NDArray[np.float64]
    logits_converted: NDArray[np.float64]
    scores_float: NDArray[np.float64]
    scores_converted: NDArray[np.float64]
    threshold_float: float
    threshold_converted: float

    @property
    def flipped(self) -> NDArray[np.bool_]:
        """Which images the two decide differently, (n,)."""
        found: NDArray[np.bool_] = (self.logits_float >= self.threshold_float) != (
            self.logits_converted >= self.threshold_converted
        )
        return found


def layer_noise(fidelity: Fidelity) -> str:
    """Draw the signal-to-noise ratio of the worst layers: a bar for what each adds, a diamond for what has gathered."""
    shown = [error for error in fidelity.layers if error.own_snr_db is not None][:_LAYERS_SHOWN]
    with drawing.axes(7.6, 1.1 + 0.27 * max(3, len(shown))) as (figure, axes):
        places = np.arange(len(shown))
        axes.barh(
            places,
            [error.own_snr_db or 0.0 for error in shown],
            color=drawing.BLUE,
            height=0.62,
            label="the layer alone",
        )
        gathered = [(place, error.snr_db) for place, error in enumerate(shown) if error.snr_db is not None]
        axes.plot(
            [value for _, value in gathered],
            [place for place, _ in gathered],
            *("D",),
            markerfacecolor="white",
            markeredgecolor=drawing.INK,
            markersize=5.5,
            linestyle="none",
            label="with all before it",
        )
        right = max((error.own_snr_db or 0.0 for error in shown), default=1.0)
        for place, error in enumerate(shown):
            axes.text(right * 1.06, place, _cosine(error), va="center", fontsize=9, color=drawing.INK)
        axes.text(right * 1.06, -1.0, "cosine", va="center", fontsize=9, color=drawing.INK)
        axes.set_yticks(places, [_short(error.layer) for error in shown])
        axes.set_ylim(len(shown) - 0.4, -1.5)
        axes.set_xlim(min([0.0, *(value for _, value in gathered)]), right * 1.22)
        axes.set_xlabel("signal to noise, dB (further right is better)")
        axes.grid(visible=False, axis="y")
        axes.set_xticks([tick for tick in axes.get_xticks() if tick <= right])
        axes.legend(loc="upper center", bbox_to_anchor=(0.45, 1.0 + 0.55 / figure.get_figheight()), ncols=2)
        return drawing.svg(figure)


def _cosine(error: LayerError) -> str:
    return "–" if error.cosine is None else f"{error.cosine:.4f}"


def _short(name: str) -> str:
    return name if len(name) <= 34 else f"…{name[-33:]}"


def logits(paired: Paired, *, converted: str) -> str:
    """Draw each image's logit by both models, with both thresholds; flipped images are ringed."""
    with drawing.axes(5.6, 5.2) as (figure, axes):
        both = np.concatenate([paired.logits_float, paired.logits_converted])
        ends = float(both.min()), float(both.max())
        axes.plot(ends, ends, color=drawing.FAINT, linewidth=1, label="equal")
        for value, marker, colour, name in ((0, "o", drawing.BLUE, "normal"), (1, "^", drawing.ORANGE, "abnormal")):
            chosen = paired.labels == value
            axes.plot(
                paired.logits_float[chosen],
                paired.logits_converted[chosen],
                marker,
                markersize=4.5,
                markerfacecolor="none" if value == 0 else colour,
                markeredgecolor=colour,
                markeredgewidth=0.8,
                linestyle="none",
                rasterized=len(paired.labels) > 2000,  # thousands of paths make a slow page
                label=name,
            )
        axes.plot(
            paired.logits_float[paired.flipped],
            paired.logits_converted[paired.flipped],
            "o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=drawing.INK,
            markeredgewidth=1.4,
            linestyle="none",
            label=f"decided differently ({int(paired.flipped.sum())})",
        )
        axes.axvline(paired.threshold_float, color=drawing.INK, linestyle="--", linewidth=1, label="threshold, float")
        axes.axhline(
            paired.threshold_converted, color=drawing.INK, linestyle=":", linewidth=1.3, label=f"threshold, {converted}"
        )
        axes.set_xlabel("logit, float")
        axes.set_ylabel(f"logit, {converted}")
        axes.legend(loc="upper left", fontsize=9)
        return drawing.svg(figure)


def score_differences(paired: Paired, *, converted: str) -> str:
    """Draw how far the calibrated scores lie apart, image by image."""
    with drawing.axes(5.6, 5.2) as (figure, axes):
        apart = paired.scores_converted - paired.scores_float
        axes.hist(apart, bins=min(60, max(10, len(apart) // 8)), color=drawing.BLUE, edgecolor="white", linewidth=0.5)
        axes.axvline(0.0, color=drawing.INK, linewidth=1)
        low, high = np.percentile(apart, [2.5, 97.5])
        for edge, name in ((low, "95 % of images lie between"), (high, None)):
            axes.axvline(edge, color=drawing.INK, linestyle="--", linewidth=1, label=name)
        axes.set_xlabel(f"score, {converted} minus float")
        axes.set_ylabel("images")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=9)
        return drawing.svg(figure)


def lsb_differences(agreement: Agreement) -> str:
    """Draw how many logits of an ONNX file lie how many LSB from TFLite's, for each set of kernels."""
    with drawing.axes(7.6, 2.6) as (figure, axes):
        for place, run in enumerate(agreement.runs):
            apart, counts = np.array(run.logit_lsb).T
            label = "as written" if run.kernels is Kernels.REFERENCE else "onnxruntime's fusions"
            style = (
                {"color": drawing.BLUE}
                if place == 0
                else {"facecolor": "none", "edgecolor": drawing.ORANGE, "hatch": "////"}
            )
            axes.bar(apart + 0.4 * (place - 0.5), counts, width=0.36, label=label, **style)
        axes.set_xlabel("ONNX minus TFLite, LSB of the logit")
        axes.set_ylabel("images")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
        return drawing.svg(figure)


def scales(coverage: Coverage) -> str:
    """Draw the scales of kernels (smallest to largest channel) and activations in the order of the graph."""
    computed = {index: place for place, step in enumerate(coverage.steps) for index in step.outputs}
    read = {index: step.index for step in reversed(coverage.steps) for index in step.inputs}
    with drawing.axes(7.6, 3.4) as (figure, axes):
        kernels = [line for line in coverage.tensors if line.is_constant and line.scales and line.dtype == "int8"]
        kernels = [line for line in kernels if line.index in read and len(line.shape) > 1]
        axes.vlines(
            [read[line.index] for line in kernels],
            [line.scale_low for line in kernels],
            [line.scale_high for line in kernels],
            color=drawing.ORANGE,
            linewidth=3.5,
            label="kernel, over its channels",
        )
        activations = [line for line in coverage.tensors if line.index in computed and line.scales == 1]
        axes.plot(
            [computed[line.index] for line in activations],
            [line.scale_low for line in activations],
            "o",
            markersize=4.5,
            markerfacecolor="white",
            markeredgecolor=drawing.BLUE,
            markeredgewidth=1.3,
            linestyle="none",
            label="activation",
        )
        # A zero scale, which is listed as suspicious, has no logarithm.
        axes.set_yscale("log", nonpositive="clip")
        axes.set_xlabel("operator, in the order of the graph")
        axes.set_ylabel("scale, real units a step")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=2, fontsize=9)
        return drawing.svg(figure)


def latencies(latency: Latency, *, converted: str) -> str:
    """Draw the share of inferences that are done within a time, of both models."""
    with drawing.axes(7.6, 3.2) as (figure, axes):
        for timing, name, colour, line in (
            (latency.converted, converted, drawing.BLUE, "-"),
            (latency.of_float, "float", drawing.ORANGE, "--"),
        ):
            samples = np.sort(timing.samples_ms)
            share = np.arange(1, len(samples) + 1) / len(samples)
            label = f"{name}: p50 {timing.p50_ms:.2f}, p90 {timing.p90_ms:.2f} ms"
            axes.step(samples, 100 * share, where="post", color=colour, linestyle=line, linewidth=1.8, label=label)
            axes.plot([timing.p50_ms, timing.p90_ms], [50, 90], "o", color=colour, markersize=4.5)
        # The slowest few would squeeze all others into a corner; they are in the table.
        both = [np.percentile(timing.samples_ms, 99) for timing in (latency.converted, latency.of_float)]
        axes.set_xlim(0.0, 1.15 * max(both))
        axes.set_xlabel("milliseconds an inference")
        axes.set_ylabel("inferences done, %")
        axes.legend(loc="lower right")
        return drawing.svg(figure)
