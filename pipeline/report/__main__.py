"""The report of a run as one HTML file, without network.

python -m pipeline.report runs/NAME                      # runs/NAME/report.html; the run may be unfinished
python -m pipeline.report --compare runs/A runs/B ...    # several runs side by side: runs/comparison.html
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.artifacts.atomic import write_atomically
from pipeline.errors import require, status_of
from pipeline.report.page import COMPARISON, comparison_page, report_page
from pipeline.report.results import REPORT
from pipeline.report.run_summary import read_run_summary


def write_pages(folders: Sequence[Path], *, compare: bool, output: Path | None) -> None:
    """Write the report of one run, or the comparison of several, and print its path."""
    require(compare or len(folders) == 1, "one run at a time, or several with --compare")
    require(not (output and output.is_dir()), f"--output: {output} is a folder; give a file, as {output}/{REPORT}")
    runs = [read_run_summary(folder) for folder in folders]
    if compare:
        path = output or folders[0].parent / COMPARISON
        write_atomically(path, comparison_page(runs))
    else:
        path = output or folders[0] / REPORT
        write_atomically(path, report_page(runs[0]))
    print(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 done, 2 bad input."""
    given = parser().parse_args(arguments)
    return status_of(lambda: write_pages(given.runs, compare=given.compare, output=given.output))


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m pipeline.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("runs", nargs="+", type=Path, metavar="runs/NAME", help="the folder of a run")
    options.add_argument("--compare", action="store_true", help="several runs side by side, in one page")
    options.add_argument("--output", type=Path, help="write the page to this file")
    return options


if __name__ == "__main__":
    sys.exit(main())
