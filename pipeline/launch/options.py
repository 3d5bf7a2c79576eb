"""The options of `./run_all.sh`, and their help."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline import PROJECT
from pipeline.config.reference import help_page, settings
from pipeline.errors import UserError, nearest
from pipeline.plan.stages import STAGES

SETTINGS = tuple(dict.fromkeys(setting.name.partition(".")[0] for setting in settings()))  # and sections
WIDEST_HELP = 110  # columns
DEFAULT_RECIPE = PROJECT / "recipes" / "rotten_tomatoes.yaml"


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, Path, list[str]]:
    """The options, the recipe, and the overrides (option and value in turn). Raises UserError for any that is wrong."""
    options_of_all = parser(with_settings=not {"-h", "--help"}.isdisjoint(arguments))
    try:
        options, rest = options_of_all.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UserError(f"{error.argument_name}: {error.message}; see --help") from None
    known = [action.option_strings[-1] for action in options_of_all._actions] + [f"--{name}" for name in SETTINGS]
    recipes, overrides, after_option = [], [], False
    for argument in rest:
        is_option = argument.startswith("--")
        name = argument.partition("=")[0]
        if is_option and "." not in name and name not in known:
            raise UserError(f"{name}: no such option{nearest(name, known)}; settings are --section.field value")
        (overrides if is_option or after_option else recipes).append(argument)
        after_option = is_option and "=" not in argument
    if len(recipes) > 1:
        raise UserError(f"{recipes[1]!r}: one recipe or table at a time, and settings as --section.field value")
    _check_options(options)
    recipe = Path(recipes[0]) if recipes else DEFAULT_RECIPE
    ours = PROJECT / recipe
    return options, ours if not recipe.exists() and ours.is_file() else recipe, overrides


def parser(*, with_settings: bool = False) -> argparse.ArgumentParser:
    """The options. Args: with_settings: the help lists every setting too."""
    width = min(shutil.get_terminal_size().columns, WIDEST_HELP) - 2
    options = argparse.ArgumentParser(
        prog="./run_all.sh",
        usage="./run_all.sh [RECIPE or TABLE] [options] [--section.field value ...] [-- options of accelerate launch]",
        description=f"RECIPE is a YAML file; without it {DEFAULT_RECIPE.relative_to(PROJECT)} runs.\n"
        "TABLE is a file of texts and labels (.csv, .tsv, .jsonl, .json, .parquet). A recipe for it, with the\n"
        "settings of the command line, is written to recipes/ and run.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"settings, in a recipe or as --section.field value:\n{help_page(width) if with_settings else ''}",
        allow_abbrev=False,
        exit_on_error=False,
    )
    options.add_argument("--text", metavar="COLUMN", help="the column of a table that holds the text")
    options.add_argument("--text-pair", metavar="COLUMN", help="the column that holds the second text of a pair")
    options.add_argument("--label", metavar="COLUMN", help="the column that holds the label")
    options.add_argument(
        "--list",
        action="store_true",
        help="show every stage (done, will run, or why it must run again), and run none; inputs may be downloaded",
    )
    options.add_argument("--dry-run", action="store_true", help="as --list, with an estimate of time and disk")
    options.add_argument("--from", metavar="S", help="start at stage S; every stage that it reads must be done")
    options.add_argument("--until", metavar="S", help="stop after stage S")
    options.add_argument("--only", metavar="S", help="run stage S alone")
    options.add_argument("--force", metavar="S", help="run stage S again, and every stage that reads its output")
    options.add_argument("--push", metavar="OWNER/NAME", help="publish the student on the hub when the run is done")
    return options


def _check_options(options: argparse.Namespace) -> None:
    """The stages exist, and the options fit together."""
    for option in ("from", "until", "only", "force"):
        stage = getattr(options, option)
        if stage is not None and stage not in STAGES:
            raise UserError(f"--{option}: no stage {stage!r}{nearest(stage, STAGES)}")
    start, end, only = getattr(options, "from"), options.until, options.only
    if only and (start or end):
        raise UserError(f"--only {only} runs one stage: leave out {'--from' if start else '--until'}")
    if start and end and STAGES.index(end) < STAGES.index(start):
        raise UserError(f"--until {end} comes before --from {start}: give a stage that comes after it")
    if options.force and (options.list or options.dry_run):
        look = "--list" if options.list else "--dry-run"
        raise UserError(f"--force runs a stage again, and {look} runs nothing: leave one out")
