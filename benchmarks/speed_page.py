"""The section of docs/results.md that holds the pipeline beside the method as it is written."""

import textwrap
from collections.abc import Mapping
from typing import Any

from benchmarks.tables import cell, where
from pipeline.config.recipe_file import load_recipe
from pipeline.launch.options import DEFAULT_RECIPE

SPEEDS = {  # the parts of `benchmarks.speed`, and what they do
    "speed_general": "general distillation, BERT-base to TinyBERT4",
    "speed_layers": "distillation of layers",
    "speed_predictions": "distillation of predictions",
    "speed_augment": "candidates for words",
}
SIDES = ("ours", "reference")
Known = Mapping[str, Mapping[str, Any] | None]


def speed_lines(known: Known) -> list[str]:
    """The trainings and the proposals beside a plain version of each, and in what the two differ."""
    parts = {part: of for part in SPEEDS if (of := known.get(part))}
    lines = [
        f"`python -m benchmarks.speed WHAT`, {where(*parts.values())}: the same models, texts and batches,",
        "in turn in one process. Memory is the peak of a process that runs one of them alone.",
        "",
        "| | this pipeline | as written | times | of what the machine multiplies | memory | as written |",
        "|---|---|---|---|---|---|---|",
        *(_row(SPEEDS[part], of["figures"]) for part, of in parts.items()),
    ]
    said = [_reference()]
    if predictions := parts.get("speed_predictions"):
        said.append(_annotations(predictions["figures"]))
    if augment := parts.get("speed_augment"):
        figures = augment["figures"]
        one_word = {"ours": figures["one_word"], "reference": figures["reference"], "unit": figures["unit"]}
        lines.append(_row("candidates, all words, one at a time", one_word))
        said.append(_candidates(figures))
    for each in said:
        lines += ["", *textwrap.wrap(each, 118)]
    return lines


def _row(title: str, figures: Mapping[str, Any]) -> str:
    rates = (f"{figures[way]:,.{0 if figures[way] >= 10 else 1}f} {figures['unit']}" for way in SIDES)
    share = ""
    if "share_of_peak" in figures:
        share = f"{figures['share_of_peak']:.0%} ({figures['matrix_rate'] / 1e9:,.0f} GFLOP/s, {figures['precision']})"
    memory = (cell(f"memory_{way}", figures.get(f"memory_{way}", "")) for way in SIDES)
    ratio = figures.get("ratio", figures["ours"] / figures["reference"])
    return f"| {' | '.join((title, *rates, f'{ratio:.1f}', share, *memory))} |"


def _reference() -> str:
    """What the reference does, and where the default recipe asks the pipeline for less."""
    layers = load_recipe(DEFAULT_RECIPE, []).distill_layers
    both = " Where `distill_layers.attention` is 0, as in the default recipe, both leave out eq. 7."
    spared = f" By `distill_layers.echo` this pipeline runs the teacher in one of {layers.echo} steps of the layers."
    return (
        "As written means `benchmarks/reference.py`, this project's own plain version of the method, not the authors'"
        " code. It pads every text to the longest that the recipe allows, with eager attention in float32, and runs"
        f" the teacher in every step.{spared if layers.echo > 1 else ''}{both if not layers.attention else ''}"
    )


def _annotations(figures: Mapping[str, Any]) -> str:
    if "annotations" not in figures:
        return (
            "The predictions were measured with one annotation of each text for three epochs. The default recipe needs"
            " more, so their figure is too high; they were not measured again yet."
        )
    return (
        f"The predictions are charged with {figures['annotations']:g} annotation(s) by the teacher for each example of"
        " a step, as many as the recipe needs for its originals and their variants, in the rate and in the share."
    )


def _candidates(figures: Mapping[str, Any]) -> str:
    share = figures["way"].get("word_share")  # older figures have none
    words = f" and asks for {share:.0%} of the words, which is enough for its variants;" if share else ""
    both = "" if "one_model" in figures else " Their memory was measured with the models of both ways loaded."
    return (
        f"The default masks {figures['way']['mask_share']:.0%} of the tokens at once,{words}"
        f" {figures['shared_with_algorithm_1']:.0%} of the candidates are those of Algorithm 1. That masks one word"
        " at a time, and all of them, as the reference does, and as this pipeline does in the last row; but the"
        f" pipeline reads the text once for each word, and the reference twice, as its authors.{both}"
    )
