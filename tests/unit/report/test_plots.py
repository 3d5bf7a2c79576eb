"""The pictures of the report."""

import itertools
from collections.abc import Sequence
from typing import IO, Any

import matplotlib.axes
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from pipeline.report.plots import confusion_matrix, loss_curves, model_bars, trade_offs
from tests.helpers.reported import answered


@pytest.mark.parametrize(
    ("scores", "lengths"),
    [((0.5, 0.25), [1, 0.5]), ((-0.02, -0.5), [0, 0]), ((-0.1, 0.2), [0, 1]), ((0.0, -0.3), [0, 0])],
)
def test_no_bar_is_longer_than_that_of_a_better_model(
    scores: tuple[float, float], lengths: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[float] = []
    barh = matplotlib.axes.Axes.barh
    monkeypatch.setattr(
        matplotlib.axes.Axes,
        "barh",
        lambda axes, row, width, **look: drawn.append(width) or barh(axes, row, width, **look),
    )
    model_bars([("teacher", {"score": scores[0]}), ("student", {"score": scores[1]})], metric="spearman")
    assert drawn == lengths


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were written: as SVG, which has 72 points to the inch."""
    written: list[Figure] = []
    savefig = Figure.savefig

    def keep(figure: Figure, file: IO[str], **options: Any) -> None:
        written.append(figure)
        savefig(figure, file, **options)
        figure.set_dpi(72)

    monkeypatch.setattr(Figure, "savefig", keep)
    return written


@pytest.mark.parametrize(
    "values", [[0.003835, 0.00404], [1.2755, 1.3], [0.68401, 0.684412], [7.1e-5, 9.8e-5], [0.0001, 0.9], [-0.5, 0.2]]
)
def test_the_numbers_of_a_loss_lie_in_its_picture_and_differ(values: list[float], figures: list[Figure]) -> None:
    loss_curves("attention", {"1": ([1, 2], values)})
    [axes] = figures[0].axes
    low, high = axes.get_ylim()
    ticks = [label for label in axes.get_yticklabels() if low <= label.get_position()[1] <= high and label.get_text()]
    assert len({label.get_text() for label in ticks}) == len(ticks) > 1
    assert all(label.get_window_extent().x0 >= 0 for label in ticks)


@pytest.mark.parametrize("scores", [(1.0, 1.0, 1.0), (0.93, 0.91, 0.9095)])
@pytest.mark.parametrize("megabytes", [(0.11, 0.04, 0.046), (400, 4, 4)])
def test_no_name_of_a_model_covers_another(
    scores: Sequence[float], megabytes: Sequence[float], figures: list[Figure]
) -> None:
    names = ("teacher", "student", "model_int8.onnx")
    sizes = zip(names, scores, megabytes, strict=True)
    models = [(name, {"score": score, "disk_bytes": 1e6 * size, "latency_ms": size}) for name, score, size in sizes]
    trade_offs(models, metric="accuracy")
    for axes in figures[0].axes:
        shown: list[Text] = list(axes.texts)
        assert [text.get_text() for text in shown] == list(names)
        for one, other in itertools.combinations(shown, 2):
            assert not one.get_window_extent().overlaps(other.get_window_extent())


def test_a_dollar_in_a_label_s_name_is_a_dollar() -> None:
    picture = confusion_matrix([answered("$5 and $_more", "", "under $5")], "student", ["under $5", "$5 and $_more"])
    assert "under $5<" in picture and "$5 and $_more<" in picture
