"""A stage as its script sees it."""

import io
import re

import pytest

from pipeline.runtime.stage import Bar


@pytest.mark.parametrize(("after", "said"), [(0.0, False), (3600.0, True)])
def test_beside_the_time_left_of_a_stage_stands_that_of_the_whole_run(after: float, said: bool) -> None:
    with Bar(total=10, unit="step", file=io.StringIO(), after=after) as bar:
        assert "whole run" not in str(bar)  # before the first step nothing is known
        bar.update(5)
        bar.set_postfix_str("loss 0.5", refresh=False)
        assert bool(re.search(r"loss 0\.5, whole run 1:00:\d\d left", str(bar))) == said
        assert "5/10" in str(bar)
