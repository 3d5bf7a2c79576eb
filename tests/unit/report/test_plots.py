"""The pictures of the report."""

from pipeline.report.plots import confusion_matrix
from tests.helpers.reported import answered


def test_a_dollar_in_a_label_s_name_is_a_dollar() -> None:
    picture = confusion_matrix([answered("$5 and $_more", "", "under $5")], "student", ["under $5", "$5 and $_more"])
    assert "under $5<" in picture and "$5 and $_more<" in picture
