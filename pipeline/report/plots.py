"""The pictures of a report: inline SVG that takes colours and font from its page, so that light and dark both fit."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullFormatter

Curve = tuple[Sequence[float], Sequence[float]]
# Colours that stand for the page's: each is replaced by its variable when the picture is written.
INK, FAINT, TEACHER, STUDENT = "#010101", "#020202", "#030303", "#040404"
VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)", TEACHER: "var(--teacher)", STUDENT: "var(--student)"}
LAYERS = LinearSegmentedColormap.from_list("layers", ["#4a6fd0", "#1f9e89", "#d08a2e", "#cf4a5f"])  # on light and dark
POINTS = 300  # of a curve or a scatter: more are not seen
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.size": 8.5,
    "text.parse_math": False,  # a dollar in a label's name is a dollar
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
}


def bars(measures: Sequence[tuple[str, Sequence[tuple[str, float, str]]]]) -> str:
    """One picture of all models: for each measure a group of bars of its own scale.

    Args:
        measures: (its name, for each model (name, value, the value as it is written)); the teacher comes first.
    """
    rows = sum(len(models) + 1.6 for _, models in measures)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 0.185 * rows))
        axes, row = _blank(figure), 0.0
        for name, models in measures:
            axes.text(0, row, name, va="center", weight="bold")
            longest = max(value for _, value, _ in models) or 1.0
            for number, (model, value, written) in enumerate(models):
                row += 1
                axes.barh(row, value / longest, height=0.74, color=STUDENT if number else TEACHER)
                axes.text(max(value, 0) / longest + 0.015, row, f"{written}  {_short(model)}", va="center")
            row += 1.6
        axes.set(xlim=(0, 1.75), ylim=(row - 0.9, -0.7))
        return _svg(figure, "The models side by side: " + ", ".join(name for name, _ in measures))


def loss_curves(objective: str, layers: Mapping[str, Curve]) -> str:
    """One objective's loss by step, a line a layer."""
    with mpl.rc_context(STYLE):
        figure, axes = _small()
        for number, (layer, (steps, values)) in enumerate(layers.items()):
            every = max(1, len(steps) // POINTS)
            colour = LAYERS(number / max(1, len(layers) - 1)) if layer else STUDENT
            label = f"layer {layer}" if layer and not number else layer
            axes.plot(steps[::every], values[::every], color=colour, label=label)
        if all(value > 0 for _, values in layers.values() for value in values):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
            _ticks_of_a_narrow_log_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(axis="y", color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        if any(layers):
            columns = min(len(layers), 6)
            axes.legend(
                ncols=columns,
                fontsize=7.5,
                handlelength=1,
                columnspacing=0.9,
                loc="lower left",
                bbox_to_anchor=(-0.03, 1),
            )
        return _svg(figure, f"Loss {objective} by step")


def matrix(counts: Sequence[Sequence[int]], names: Sequence[str], *, colour: str) -> str:
    """A confusion matrix: shaded by the share of each right label's row."""
    size = len(names)
    side = max(1.5, 0.34 * size)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side + 1.1, side + 0.7), layout="constrained")
        axes = figure.add_subplot()
        for row, line in enumerate(counts):
            for column, count in enumerate(line):
                share = count / max(1, sum(line))
                axes.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, alpha=0.75 * share))
                axes.text(column + 0.5, row + 0.5, f"{count:,}", ha="center", va="center")
        middles = [place + 0.5 for place in range(size)]
        short = [name if len(name) <= 14 else f"{name[:13]}…" for name in names]
        axes.set(xlim=(0, size), ylim=(size, 0), yticks=middles, yticklabels=short, xticks=middles)
        axes.set_xticklabels(short, rotation=0 if size <= 3 else 90)
        axes.set(xlabel="answer", ylabel="label", aspect="equal")
        axes.spines[:].set_visible(False)
        return _svg(figure, "Confusion matrix: right labels by answers")


def scatter(labels: Sequence[float], answers: Sequence[float], *, colour: str) -> str:
    """A regression's answers over the right scores, and the line where they would be equal."""
    every = max(1, len(labels) // POINTS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.8, 2.6), layout="constrained")
        axes = figure.add_subplot()
        ends = [min(labels), max(labels)]
        axes.plot(ends, ends, color=FAINT)
        axes.scatter(labels[::every], answers[::every], s=7, color=colour, alpha=0.6, linewidths=0)
        axes.set(xlabel="label", ylabel="answer")
        return _svg(figure, "Answers over labels")


def times(seconds: Mapping[str, float]) -> str:
    """How long each stage took."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 0.21 * len(seconds)))
        axes = _blank(figure)
        longest = max(seconds.values()) or 1.0
        for row, (stage, value) in enumerate(seconds.items()):
            axes.barh(row, value / longest, height=0.66, color=STUDENT)
            axes.text(value / longest + 0.015, row, f"{value:,.0f} s", va="center")
            axes.text(-0.02, row, stage, va="center", ha="right")
        axes.set(xlim=(-0.5, 1.2), ylim=(len(seconds) - 0.5, -0.5))
        return _svg(figure, "Seconds of each stage")


def _short(name: str) -> str:
    """A run's name as long as there is room for: names differ at their end."""
    return name if len(name) <= 20 else f"…{name[-19:]}"


def _blank(figure: Figure) -> Axes:
    """Axes over the whole figure that draw nothing of themselves."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    return axes


def _small() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(3.1, 2.0))
    return figure, figure.add_axes((0.13, 0.11, 0.86, 0.71))


def _ticks_of_a_narrow_log_axis(axes: Axes) -> None:
    """A log axis within one decade would have no number on it: a few round ones then."""
    low, high = axes.get_ylim()
    if high / low < 20:
        ticks = [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
        axes.set_yticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.minorticks_off()


def _svg(figure: Figure, title: str) -> str:
    """The figure as an element of a page: no XML head, no ids that two pictures would share, the page's colours."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text)
    text = re.sub(r'font-family: [^;"]*', "font-family: inherit", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    size = f'role="img" aria-label="{title}" style="max-width: {round(figure.get_figwidth() * 96)}px"'
    return re.sub(r'width="[^"]*" height="[^"]*"', size, text, count=1)
