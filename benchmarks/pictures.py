"""The pictures of README and docs, one function each: files of their own, on white, in the report's style."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from pipeline.report.plots import FAINT, INK, STUDENT, STYLE, TEACHER, VARIABLES, as_svg
from pipeline.report.run_summary import MEASURES, Curve

ON_WHITE = {INK: "#222222", FAINT: "#dddddd", TEACHER: "#b0552e", STUDENT: "#2a6fbb"}
DASHES = ("-", "--", ":", "-.")


def numbered_trade_offs(models: Sequence[tuple[str, Mapping[str, Any]]], *, metric: str) -> str:
    """The score of many models over latency and over size, each point a number that a list explains.

    Args: models: as `trade_offs` takes them, none without a figure: the teacher, what ships, and others.
    """
    measures = [measure for measure in MEASURES if measure.key in ("latency_ms", "disk_bytes")]
    with mpl.rc_context(STYLE):
        list_height = 0.17 * len(models)
        figure = Figure(figsize=(6.6, 2.6 + list_height), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=(2.6, list_height))
        above, below = parts
        for axes, measure in zip(above.subplots(1, 2, sharey=True), measures, strict=True):
            for number, (_, figures) in enumerate(models):
                point = figures[measure.key], 100 * figures["score"]
                colour = (TEACHER, STUDENT, INK)[min(number, 2)]
                axes.scatter(*point, s=22, color=colour, linewidths=0)
                axes.annotate(str(number + 1), point, xytext=(4, 2), textcoords="offset points", color=colour)
            axes.set(xscale="log", xlabel=measure.name)
            axes.minorticks_off()
            values = [figures[measure.key] for _, figures in models]
            ends = [min(values), (min(values) * max(values)) ** 0.5, max(values)]
            axes.set_xticks(ends, [measure.write(end) for end in ends])
            axes.margins(x=0.12, y=0.12)
            axes.grid(axis="y", color=FAINT, linewidth=0.5)
            axes.set_axisbelow(True)
        above.axes[0].set_ylabel(f"{metric.replace('_', ' ')}, %")
        for number, (name, _) in enumerate(models):
            below.text(0.06, 1 - (number + 0.5) / len(models), f"{number + 1}  {name}", va="center")
        return _on_white(figure, f"{metric} over latency and over size")


def learning_curves(losses: Mapping[str, Curve], scores: Mapping[str, Sequence[float]], *, metric: str) -> str:
    """What a start is worth: the loss of the layers by step, and the score on dev after each epoch of predictions.

    Args: losses, scores: by the start's name, the most telling one first.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 2.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for number, name in enumerate(losses):
            how: dict[str, Any] = {"color": INK if number else STUDENT, "linestyle": DASHES[number % len(DASHES)]}
            left.plot(*losses[name], label=name, **how)
            epochs = range(1, len(scores[name]) + 1)
            right.plot(epochs, [100 * score for score in scores[name]], marker=".", label=name, **how)
        left.set(yscale="log", xlabel="step of distill_layers", ylabel="loss")
        left.yaxis.set_major_formatter("{x:g}")
        left.yaxis.set_minor_formatter(NullFormatter())
        right.set(xlabel="epoch of distill_predictions", ylabel=f"{metric.replace('_', ' ')} on dev, %")
        right.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (left, right):
            axes.grid(axis="y", color=FAINT, linewidth=0.5)
            axes.set_axisbelow(True)
        left.legend()
        return _on_white(figure, "Learning curves by the student's start")


def scores_by_variants(scores: Mapping[int, Sequence[float]], *, metric: str) -> str:
    """What augmentation brings: the score of each seed's student, and their mean, by the number of variants."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4, 2.2), layout="constrained")
        axes = figure.subplots()
        for variants, found in scores.items():
            axes.scatter([variants] * len(found), [100 * score for score in found], s=12, color=INK, linewidths=0)
        means = [100 * sum(found) / len(found) for found in scores.values()]
        axes.plot(list(scores), means, color=STUDENT, marker=".", label="mean")
        axes.set(xlabel="variants of each text", ylabel=f"{metric.replace('_', ' ')} on test, %", xticks=list(scores))
        axes.grid(axis="y", color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.legend()
        return _on_white(figure, "Score by the number of variants")


def _on_white(figure: Figure, title: str) -> str:
    """A picture as a file of its own, instead of an element of a page."""
    svg = as_svg(figure, title)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(variable, ON_WHITE[colour])
    begin, _, rest = svg.partition(">")
    white = '<rect width="100%" height="100%" fill="white"/>'
    return f"{begin}>{white}{rest}".replace("font-family: inherit", "font-family: sans-serif")
