"""The pictures of the report."""

import matplotlib.axes
import pytest

from pipeline.report.plots import confusion_matrix, model_bars
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


def test_a_dollar_in_a_label_s_name_is_a_dollar() -> None:
    picture = confusion_matrix([answered("$5 and $_more", "", "under $5")], "student", ["under $5", "$5 and $_more"])
    assert "under $5<" in picture and "$5 and $_more<" in picture
