"""Plan a recipe, then run its unfinished stages, in turn, in one `accelerate launch`. `run_all.sh` is this.

./run_all.sh [RECIPE or TABLE] [options] [--section.field value ...] [-- options of accelerate launch]
"""

import io
import json
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline import PROJECT
from pipeline.artifacts.run_links import RECIPE
from pipeline.config import Recipe
from pipeline.config.recipe_file import load_recipe
from pipeline.errors import FAILED, INTERRUPTED, OK, UserError, WorkFailed, require, status_of
from pipeline.inputs.resolver import OTHER_DATA_FILE
from pipeline.launch.exit_status import disk_trouble, survive_closed_readers
from pipeline.launch.launch_command import launch_command, machine_rank, machines_of
from pipeline.launch.launcher import run_launched, stop_signals_call
from pipeline.launch.listing import forecast, show
from pipeline.launch.options import parse
from pipeline.launch.selection import forced, select
from pipeline.launch.stage_logs import StageLogs
from pipeline.launch.table_recipe import OPTIONS, from_here, is_table, recipe_for
from pipeline.plan.plan import Plan, check_inputs, make_plan, plan_recipe
from pipeline.plan.run_folder import RESULTS, check_writable, publish_run, recipe_text
from pipeline.report.results import refresh_report, table
from pipeline.runtime.patience import NETWORK_DISK_SECONDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 failed at work, 2 bad input, 75 interrupted (the same command goes on)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold what the terminal's encoding has not
    with stop_signals_call(signal.default_int_handler):
        streams = survive_closed_readers()
        try:
            return status_of(lambda: _run(arguments))
        finally:
            sys.stdout, sys.stderr = streams


def _run(arguments: list[str]) -> int:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    launcher = arguments[end + 1 :]
    options, recipe, overrides = parse(arguments[:end])
    columns = {role: getattr(options, role) for role in OPTIONS}
    if is_table(recipe):
        look = options.list or options.dry_run
        recipe, overrides, remarks = recipe_for(recipe, columns, from_here(overrides), only_look=look)
        print(*remarks, sep="\n", file=sys.stderr)
    elif role := next((role for role, column in columns.items() if column), None):
        raise UserError(f"{OPTIONS[role]} names a column of a table; with a recipe write --task.{role} COLUMN")
    require(
        not OTHER_DATA_FILE.fullmatch(recipe.name),
        f"{recipe} holds tags of words, and no recipe: name it as task.train in a copy of recipes/wnut17.yaml",
    )
    plan = make_plan(recipe, overrides)
    push = None
    if options.push and machine_rank(launcher) == 0:
        from pipeline.report.push import pusher  # noqa: PLC0415 (the hub's library is slow, and few runs need it)

        push = pusher(options.push)
    first, last = options.only or getattr(options, "from"), options.only or options.until
    if options.force:
        plan = _discard(plan, options.force, first=first, last=last)
        plan = replace(plan_recipe(plan.recipe, checked=False), data=plan.data)
    selected = select(plan, first=first, last=last)
    if options.list or options.dry_run:
        show(plan, selected, forecast(plan, recipe, overrides) if options.dry_run else None)
        sys.stdout.flush()
        if trouble := disk_trouble(getattr(sys.stdout, "lost", None)):
            raise WorkFailed(f"the table could not be written: {trouble}")
        return OK
    check_writable(plan, selected)
    plan.book.save()
    publish_run(plan)
    if selected:
        print(*(f"data: {line}" for line in plan.data), sep="\n", file=sys.stderr, flush=True)
        status, trouble = _launch(plan, selected, ["--recipe", str(recipe.absolute()), *overrides], launcher)
        if status == INTERRUPTED and _is_done(plan.recipe, selected):
            status = OK  # asked to stop when the last stage was all but done
        if status != OK:
            print(f"{trouble}\n  resume: {_resuming(arguments)}", file=sys.stderr)
            return status
        if machines_of(launcher) > 1:
            _wait_until_seen(plan.recipe, selected)
    return _finish(plan_recipe(plan.recipe, checked=False), selected, push)


def _lost(plan: Plan, launched: Sequence[str]) -> list[str]:
    """Those of the launched stages that are not done."""
    return [stage for stage in launched if stage in plan.why]


def _is_done(recipe: Recipe, launched: Sequence[str]) -> bool:
    """Whether all that was launched is done. Not where no plan can be made any more, since an input is gone."""
    try:
        return not _lost(plan_recipe(recipe, checked=False), launched)
    except (UserError, OSError):
        return False


def _wait_until_seen(recipe: Recipe, launched: Sequence[str]) -> None:
    """Wait until the shared disk shows what the first machine published; for a while, since it may be nothing."""
    end = time.monotonic() + NETWORK_DISK_SECONDS
    while _lost(plan_recipe(recipe, checked=False), launched) and time.monotonic() < end:
        time.sleep(1)


def _discard(plan: Plan, stage: str, *, first: str | None, last: str | None) -> Plan:
    """Set aside what a stage published, so that it runs again, once all is checked; returns the plan as checked."""
    will_run = select(forced(plan, stage), first=first, last=last)
    require(
        stage in will_run,
        f"--force {stage}: --from, --until or --only leaves the stage out; give a part that holds it",
    )
    check_writable(plan, will_run)
    if not plan.why:  # else it was checked when it was made
        plan = check_inputs(plan)
    plan.stages[stage].artifact.discard()
    return plan


def _finish(plan: Plan, selected: Sequence[str], push: Callable[[Path], str] | None) -> int:
    """After the last stage: the run's folder, what is still to run, or the results. Returns the exit status."""
    plan.book.save()
    publish_run(plan)
    if lost := _lost(plan, selected):
        print(
            f"{lost[0]} ended, but is not done ({plan.why[lost[0]]}); see {plan.run_folder / 'logs'}", file=sys.stderr
        )
        return FAILED
    if plan.why:
        print(f"not run yet: {', '.join(plan.why)}", file=sys.stderr)
        return OK
    if not selected:
        print(f"all {len(plan.stages)} stages are done: nothing was launched", file=sys.stderr)
    _show_results(plan.run_folder)
    if push:
        print(f"on the hub: {push(plan.run_folder)}")
    return OK


def _launch(plan: Plan, stages: Sequence[str], arguments: Sequence[str], launcher: Sequence[str]) -> tuple[int, str]:
    """Run stages in one launch; returns its exit status, and which stage went wrong, how, and its log's path.

    Args: arguments, launcher: as `launch_command` takes them.

    They read the recipe as it was planned, from a file of its own: the user's may be edited meanwhile.
    """

    def begins(stage: str) -> None:
        number = stages.index(stage) + 1
        following = f"; next: {stages[number]}" if number < len(stages) else ""
        print(f"== {number} of {len(stages)}: {stage} ({plan.why[stage]}){following}", file=sys.stderr, flush=True)

    command, changes = launch_command(stages, arguments, launcher)
    logs = StageLogs(plan.run_folder / "logs", stages, begins, machine=machine_rank(launcher))
    begins(stages[0])
    with tempfile.TemporaryDirectory(prefix="distill-") as folder:
        planned = Path(folder) / RECIPE
        planned.write_text(recipe_text(plan.recipe), encoding="utf-8")
        require(
            load_recipe(planned) == plan.recipe,
            f"a text in the settings of {plan.recipe.name} holds characters that YAML does not keep; remove them",
        )
        status, message = run_launched([*command, "--planned", str(planned)], changes, logs, machines_of(launcher))
    outcome = "was interrupted" if status == INTERRUPTED else "failed"
    return status, f"{logs.stage} {outcome}{message and ': '}{message}\n  log:    {logs.path}"


def _show_results(run_folder: Path) -> None:
    results = run_folder / RESULTS
    print(table(json.loads(results.read_text(encoding="utf-8"))))
    print(f"\nstudent: {run_folder / 'export_student'}\nresults: {results}")
    print(f"report:  {refresh_report(run_folder)}")


def _resuming(arguments: Sequence[str]) -> str:
    """The same command without --force, since the earlier artifact is out of the way already."""
    pairs = zip(["", *arguments], arguments, strict=False)
    kept = [argument for before, argument in pairs if "--force" not in (before, argument.partition("=")[0])]
    script = "./run_all.sh" if Path.cwd() == PROJECT else str(PROJECT / "run_all.sh")
    return shlex.join([script, *kept])


if __name__ == "__main__":
    sys.exit(main())
