"""Plan a recipe, then run every unfinished stage through `accelerate launch`. `run_all.sh` is this.

./run_all.sh [RECIPE] [options] [--section.field value ...] [-- options of accelerate launch]
"""

import argparse
import json
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline import PROJECT
from pipeline.config.recipe_file import fields
from pipeline.errors import FAILED, INTERRUPTED, OK, UserError, nearest, status_of
from pipeline.launch.exit_status import survive_closed_readers
from pipeline.launch.launcher import launch_command, run_launched, stop_signals
from pipeline.plan.plan import Plan, check_inputs, make_plan, reasons
from pipeline.plan.run_folder import RESULTS, publish_run
from pipeline.plan.stages import STAGES
from pipeline.report.results import refresh_report, table

SETTINGS = tuple(dict.fromkeys(name.partition(".")[0] for name, _, _ in fields()))  # and sections
DEFAULT_RECIPE = PROJECT / "recipes" / "rotten_tomatoes.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 failed at work, 2 bad input, 75 interrupted (the same command goes on)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    before = {number: signal.signal(number, signal.default_int_handler) for number in stop_signals()}
    streams = survive_closed_readers()
    try:
        return status_of(lambda: _run(words))
    finally:
        sys.stdout, sys.stderr = streams
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(words: list[str]) -> int:
    own, launcher = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    given, recipe, overrides = parse(own)
    if given.force and (given.list or given.dry_run):
        look = "--list" if given.list else "--dry-run"
        raise UserError(f"--force runs a stage again, and {look} runs nothing: leave one out")
    plan = make_plan(recipe, overrides)
    push = _pusher(given.push) if given.push else None
    first, last = given.only or getattr(given, "from"), given.only or given.until
    if given.force:
        select(forced(plan, given.force), first=first, last=last)  # these two before anything is moved
        if not plan.why:  # else it was checked when it was made
            check_inputs(plan)
        _force(plan, given.force)
        plan = make_plan(recipe, overrides, checked=False)
    selected = select(plan, first=first, last=last)
    if given.list or given.dry_run:
        show(plan, selected, with_estimates=given.dry_run)
        return OK
    plan.book.save()
    publish_run(plan)
    for stage in selected:
        command, changes = launch_command(stage, ["--recipe", str(recipe.resolve()), *overrides], launcher)
        status = _launch(plan, stage, command, changes)
        if status != OK:
            print(f"  resume: {_again(words)}", file=sys.stderr)
            return status
    plan = make_plan(recipe, overrides, checked=False)
    plan.book.save()
    publish_run(plan)
    if plan.why:
        return _unfinished(plan, selected)
    if not selected:
        print(f"all {len(plan.stages)} stages are done: nothing was launched", file=sys.stderr)
    results = plan.run_folder / RESULTS
    print(table(json.loads(results.read_text(encoding="utf-8"))))
    print(f"\nstudent: {plan.run_folder / 'export_student'}\nresults: {results}")
    print(f"report:  {refresh_report(plan.run_folder)}")
    if push:
        print(f"on the hub: {push(plan.run_folder)}")
    return OK


def _launch(plan: Plan, stage: str, command: Sequence[str], changes: Mapping[str, str]) -> int:
    """Run one stage to its end; returns its exit status, and prints what went wrong and where its log lies."""
    log = plan.run_folder / "logs" / f"{stage}.log"
    print(f"== {stage} ({plan.why[stage]})", file=sys.stderr, flush=True)
    status, message = run_launched(command, changes, log=log)
    if status != OK:
        outcome = "was interrupted" if status == INTERRUPTED else "failed"
        print(f"{stage} {outcome}{': ' + message if message else ''}\n  log:    {log}", file=sys.stderr)
    return status


def _pusher(name: str) -> Callable[[Path], str]:
    """What publishes a run's student under this name. Raises UserError where you may not write there."""
    from pipeline.inputs.hub import check_push  # noqa: PLC0415 - the hub's library is slow, and few runs end with a push
    from pipeline.report.push import push  # noqa: PLC0415 - the same

    check_push(name)
    return lambda run_folder: push(run_folder, name)


def _again(words: Sequence[str]) -> str:
    """The command that goes on: the same, but what --force set aside is made anew once."""
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if "--force" not in (before, word) and not word.startswith("--force=")
    ]
    return shlex.join(["./run_all.sh", *kept])


def _unfinished(plan: Plan, selected: Sequence[str]) -> int:
    if lost := [stage for stage in selected if stage in plan.why]:
        print(f"{lost[0]} ended but published nothing; see {plan.run_folder / 'logs'}", file=sys.stderr)
        return FAILED
    print(f"not run yet: {', '.join(plan.why)}", file=sys.stderr)
    return OK


def parse(words: Sequence[str]) -> tuple[argparse.Namespace, Path, list[str]]:
    """The options, the recipe, and the overrides (option and value in turn)."""
    parser = argparse.ArgumentParser(
        prog="./run_all.sh",
        usage="./run_all.sh [RECIPE] [options] [--section.field value ...] [-- options of accelerate launch]",
        description=f"RECIPE is a YAML file; without it {DEFAULT_RECIPE.relative_to(PROJECT)} runs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="settings, in a recipe or as --section.field value:\n" + _settings_help(),
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument("--list", action="store_true", help="every stage: done, will run, or why it must run again")
    parser.add_argument("--dry-run", action="store_true", help="the same, with an estimate of time and disk")
    parser.add_argument("--from", metavar="S", help="start at stage S; what lies upstream must be done")
    parser.add_argument("--until", metavar="S", help="stop after stage S")
    parser.add_argument("--only", metavar="S", help="run stage S alone")
    parser.add_argument("--force", metavar="S", help="run stage S again, and what was built on it")
    parser.add_argument("--push", metavar="OWNER/NAME", help="publish the finished student on the hub")
    try:
        given, rest = parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise UserError(f"{error.argument_name}: {error.message}; see --help") from None
    known = [action.option_strings[-1] for action in parser._actions] + [f"--{name}" for name in SETTINGS]
    recipes, overrides, after_option = [], [], False
    for word in rest:
        is_option = word.startswith("--")
        name = word.removeprefix("--").partition("=")[0]
        if is_option and "." not in name and f"--{name}" not in known:
            raise UserError(
                f"--{name}: no such option{nearest(f'--{name}', known)}; settings are --section.field value"
            )
        (overrides if is_option or after_option else recipes).append(word)
        after_option = is_option and "=" not in word
    if len(recipes) > 1:
        raise UserError(f"{recipes[1]!r}: one recipe at a time, and settings as --section.field value")
    for option in ("from", "until", "only", "force"):
        stage = getattr(given, option)
        if stage is not None and stage not in STAGES:
            raise UserError(f"--{option}: no stage {stage!r}{nearest(stage, STAGES)}")
    start, end = getattr(given, "from"), given.until
    if given.only and (start or end):
        raise UserError(f"--only {given.only} runs one stage: leave out {'--from' if start else '--until'}")
    if start and end and STAGES.index(end) < STAGES.index(start):
        raise UserError(f"--until {end} comes before --from {start}: give a stage that comes after it")
    return given, Path(recipes[0]) if recipes else DEFAULT_RECIPE, overrides


def _settings_help() -> str:
    return "\n".join(f"  {name} = {default}\n      {text}" for name, default, text in fields())


def select(plan: Plan, *, first: str | None, last: str | None) -> list[str]:
    """The unfinished stages between two, in order.

    Raises: UserError when one of them reads a stage that is unfinished and outside.
    """
    for stage in (first, last):
        if stage is not None and stage not in plan.stages:
            raise UserError(f"{stage}: this recipe does not need the stage; it runs {', '.join(plan.stages)}")
    order = list(plan.stages)
    begin = order.index(first) if first else 0
    end = order.index(last) + 1 if last else len(order)
    selected = [stage for stage in order[begin:end] if stage in plan.why]
    for stage in selected:
        for up in plan.stages[stage].reads:
            if up in plan.why and up not in selected:
                raise UserError(f"{stage} reads {up}, which is not done ({plan.why[up]}); start there: --from {up}")
    return selected


def show(plan: Plan, selected: Sequence[str], *, with_estimates: bool) -> None:
    """The table of --list and --dry-run."""
    guesses: dict[str, tuple[float, float]] = {}
    if with_estimates:
        from pipeline.plan.estimate import estimates  # noqa: PLC0415 (reads the data, which nothing else here does)

        guesses = estimates(plan)
    for stage, spec in plan.stages.items():
        if stage not in plan.why:
            manifest = spec.artifact.manifest() or {}
            line = f"done       {manifest.get('seconds', 0):7.0f} s   {spec.artifact.folder}"
        else:
            line = f"{'will run' if stage in selected else 'not now'}   {plan.why[stage]}"
        if stage in guesses:
            seconds, size = guesses[stage]
            line += f"   (about {max(1, round(seconds / 60))} min, {size / 1e6:,.0f} MB)"
        print(f"{stage:<20} {line}")
    if guesses:
        seconds, size = (sum(guess[n] for stage, guess in guesses.items() if stage in selected) for n in (0, 1))
        print(f"in all about {max(1, round(seconds / 60))} min and {size / 1e6:,.0f} MB, of this machine, roughly")


def forced(plan: Plan, stage: str) -> Plan:
    """The plan as it will be when a stage is set aside."""
    if stage not in plan.stages:
        raise UserError(f"--force: this recipe does not need {stage}; it runs {', '.join(plan.stages)}")
    return replace(plan, why=reasons(plan, forced=stage))


def _force(plan: Plan, stage: str) -> None:
    artifact = plan.stages[stage].artifact
    with artifact.lock():
        artifact.set_aside()
        shutil.rmtree(artifact.work, ignore_errors=True)  # what a kill left there may be from before


if __name__ == "__main__":
    sys.exit(main())
