"""The pictures of a report, one function each: inline SVG with the colours and the font of the page, light or dark."""

import io
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator, NullFormatter

from pipeline.report.run_summary import MEASURES, Curve, Measure

# Placeholders for the page's colours: each is replaced by its CSS variable when the picture is written.
INK, FAINT, TEACHER, STUDENT = "#010101", "#020202", "#030303", "#040404"
VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)", TEACHER: "var(--teacher)", STUDENT: "var(--student)"}
LAYERS = LinearSegmentedColormap.from_list("layers", ["#4a6fd0", "#1f9e89", "#d08a2e", "#cf4a5f"])  # on light and dark
COLOURS = {"teacher": TEACHER, "student": STUDENT}
POINTS = 300  # of a curve or a scatter plot: more cannot be told apart
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.size": 8.5,
    "text.parse_math": False,  # a dollar in a label's name is a dollar
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size", "ytick.minor.size"), 0),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
}


def model_bars(models: Sequence[tuple[str, Mapping[str, Any]]], *, metric: str) -> str:
    """All models in one picture: for each measure a group of bars with its own scale.

    Args:
        models: their names and figures, as results.json has these; the teacher comes first. A model that lacks a figure
            has no bar in that group.
        metric: the task's metric; a model's value of it is the figure `score`.
    """
    measures = (Measure(metric, "score", "{:.4f}".format), *MEASURES)
    measured = [(one, [model for model in models if one.key in model[1]]) for one in measures]
    rows = sum(len(group) + 1.6 for _, group in measured)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 0.185 * rows))
        axes, row = _blank_axes(figure), 0.0
        for measure, group in measured:
            axes.text(0, row, measure.name, va="center", weight="bold")
            longest = max([0.0, *(figures[measure.key] for _, figures in group)]) or 1.0
            for number, (name, figures) in enumerate(group):
                row += 1
                value = figures[measure.key]
                length = max(value, 0) / longest  # a score below 0 has no bar
                axes.barh(row, length, height=0.74, color=STUDENT if number else TEACHER)
                shortened = name if len(name) <= 20 else f"…{name[-19:]}"  # the names of runs differ at their end
                text = f"{measure.write(value)}  {shortened}"
                axes.text(length + 0.015, row, text, va="center")
            row += 1.6
        axes.set(xlim=(0, 1.75), ylim=(row - 0.9, -0.7))
        return as_svg(figure, "The models side by side: " + ", ".join(measure.name for measure in measures))


def trade_offs(models: Sequence[tuple[str, Mapping[str, Any]]], *, metric: str) -> str:
    """The score of each model over its latency, and over its size: up and to the left is better.

    Args: models: as `model_bars` takes them; a model without a score, latency or size is left out.
    """
    measures = [measure for measure in MEASURES if measure.key in ("latency_ms", "disk_bytes")]
    shown = [model for model in models if {"score", "latency_ms", "disk_bytes"} <= model[1].keys()]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 2.3), layout="constrained")
        beside: list[list[Annotation]] = []
        for axes, measure in zip(figure.subplots(1, 2, sharey=True), measures, strict=True):
            names: list[Annotation] = []
            for name, figures in shown:
                colour = TEACHER if name == "teacher" else STUDENT
                axes.scatter(figures[measure.key], figures["score"], s=18, color=colour, linewidths=0)
                text = name if len(name) <= 18 else f"…{name[-17:]}"
                place = {"xytext": (4, 3), "textcoords": "offset points"}
                names.append(axes.annotate(text, (figures[measure.key], figures["score"]), fontsize=7, **place))
            axes.set(xscale="log", xlabel=measure.name)
            axes.minorticks_off()
            values = [figures[measure.key] for _, figures in shown]
            ends = sorted({min(values), max(values)})
            axes.set_xticks(ends, [measure.write(end) for end in ends])
            axes.margins(x=0.45, y=0.2)
            beside.append(names)
        figure.axes[0].set_ylabel(metric.replace("_", " "))
        figure.draw_without_rendering()  # now each name has its place
        for names in beside:
            _keep_apart(names)
        return as_svg(figure, f"{metric} over latency and over size")


def loss_curves(objective: str, layers: Mapping[str, Curve]) -> str:
    """The loss of one objective by step, a line for each layer."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.1, 2.0), layout="constrained")
        axes = figure.add_subplot()
        for number, (layer, (steps, values)) in enumerate(layers.items()):
            every = max(1, len(steps) // POINTS)
            colour = LAYERS(number / max(1, len(layers) - 1)) if layer else STUDENT
            label = f"layer {layer}" if layer and not number else layer
            axes.plot(steps[::every], values[::every], color=colour, label=label)
        if all(value > 0 for _, values in layers.values() for value in values):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
            _label_narrow_log_axis(axes)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(axis="y", color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        if any(layers):
            above = {"loc": "lower left", "bbox_to_anchor": (-0.03, 1), "ncols": min(len(layers), 6)}
            axes.legend(fontsize=7.5, handlelength=1, columnspacing=0.9, **above)
        return as_svg(figure, f"Loss {objective} by step")


def precision_recall(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Precision over recall of one label, a line a model. Args: curves: by role, `recall` and `precision`."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.6, 2.0))
        axes = figure.add_axes((0.15, 0.18, 0.82, 0.68))
        for role, curve in curves.items():
            axes.plot(curve["recall"], curve["precision"], color=COLOURS[role], label=role, drawstyle="steps-post")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall")
        axes.grid(axis="y", color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.legend(fontsize=7.5, handlelength=1, loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=2)
        return as_svg(figure, "Precision by recall")


def confusion_matrix(rows: Sequence[Mapping[str, Any]], role: str, names: Sequence[str]) -> str:
    """A model's answers by right label, shaded by the share of each right label's row.

    Args: rows: `page.predictions`. role: teacher or student. names: the labels, in the order in which they are drawn.
    """
    counts, size = confusion_counts(rows, role, names), len(names)
    side = max(1.5, 0.34 * size)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side + 1.1, side + 0.7), layout="constrained")
        axes = figure.add_subplot()
        for row, line in enumerate(counts):
            for column, count in enumerate(line):
                share = count / max(1, sum(line))
                axes.add_patch(Rectangle((column, row), 1, 1, facecolor=COLOURS[role], alpha=0.75 * share))
                axes.text(column + 0.5, row + 0.5, f"{count:,}", ha="center", va="center")
        middles = [index + 0.5 for index in range(size)]
        short = [name if len(name) <= 14 else f"{name[:13]}…" for name in names]
        axes.set(xlim=(0, size), ylim=(size, 0), yticks=middles, yticklabels=short, xticks=middles)
        axes.set_xticklabels(short, rotation=0 if size <= 3 else 90)
        axes.set(xlabel="answer", ylabel="label", aspect="equal")
        axes.spines[:].set_visible(False)
        return as_svg(figure, "Confusion matrix: right labels by answers")


def confusion_counts(rows: Sequence[Mapping[str, Any]], role: str, names: Sequence[str]) -> list[list[int]]:
    """Rows by right label (a line each) and a model's answer (a column each)."""
    counts = Counter((row["label"], row[role]) for row in rows)
    return [[counts[label, answer] for answer in names] for label in names]


def scatter(rows: Sequence[Mapping[str, Any]], role: str) -> str:
    """A regression model's answers over the right scores, and the line on which they would be equal."""
    drawn = rows[:: max(1, len(rows) // POINTS)]
    labels = [row["label"] for row in rows]
    ends = [min(labels), max(labels)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.8, 2.6), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(ends, ends, color=FAINT)
        points = [row["label"] for row in drawn], [row[role] for row in drawn]
        axes.scatter(*points, s=7, color=COLOURS[role], alpha=0.6, linewidths=0)
        axes.set(xlabel="label", ylabel="answer")
        return as_svg(figure, "Answers over labels")


def stage_seconds(stages: Mapping[str, Mapping[str, Any]]) -> str:
    """How long each stage took, from the manifests by stage."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 0.21 * len(stages)))
        axes = _blank_axes(figure)
        longest = max(manifest["seconds"] for manifest in stages.values()) or 1.0
        for row, (stage, manifest) in enumerate(stages.items()):
            seconds = manifest["seconds"]
            axes.barh(row, seconds / longest, height=0.66, color=STUDENT)
            axes.text(seconds / longest + 0.015, row, f"{seconds:,.0f} s", va="center")
            axes.text(-0.02, row, stage, va="center", ha="right")
        axes.set(xlim=(-0.5, 1.2), ylim=(len(stages) - 0.5, -0.5))
        return as_svg(figure, "Seconds of each stage")


def _blank_axes(figure: Figure) -> Axes:
    """Axes over the whole figure, without lines, ticks and labels of their own."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    return axes


def _label_narrow_log_axis(axes: Axes) -> None:
    """Put a few round numbers on a log axis so short that it may hold no power of ten, and so no number."""
    low, high = axes.get_ylim()
    if high / low < 20:
        ticks = [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
        axes.set_yticks(ticks, [f"{tick:.8g}" for tick in ticks])
        axes.minorticks_off()


def _keep_apart(names: Sequence[Annotation]) -> None:
    """Move each name above or below its point, line by line, until it covers none before it."""
    for number, name in enumerate(names):
        for line in itertools.count():
            name.xyann = (4, -9 * (line // 2 + 1) if line % 2 else 3 + 9 * (line // 2))  # points
            if not any(name.get_window_extent().overlaps(other.get_window_extent()) for other in names[:number]):
                break


def as_svg(figure: Figure, title: str) -> str:
    """The figure as an element of a page, in its colours; without XML head, and without ids, which would repeat."""
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
