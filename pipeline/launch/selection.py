"""Which of a plan's unfinished stages a command runs."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.errors import UserError, require
from pipeline.plan.plan import Plan, reasons


def select(plan: Plan, *, first: str | None, last: str | None) -> list[str]:
    """The unfinished stages between two, in order.

    Raises: UserError when one of them reads a stage that is unfinished and outside.
    """
    order = list(plan.stages)
    for stage in filter(None, (first, last)):
        check_needed(plan, stage)
    begin = order.index(first) if first else 0
    end = order.index(last) + 1 if last else len(order)
    unfinished = [stage for stage in order[:end] if stage in plan.why]
    selected = [stage for stage in unfinished if stage in order[begin:]]
    if outside := _read_outside(plan, selected):
        stage, up = outside[0]
        before = range(unfinished.index(selected[0]))
        start = max(number for number in before if not _read_outside(plan, unfinished[number:]))
        part = f"--from {unfinished[start]}" + (f" --until {last}" if last else "")
        raise UserError(f"{stage} reads {up}, which is not done ({plan.why[up]}); start earlier: {part}")
    return selected


def _read_outside(plan: Plan, stages: Sequence[str]) -> list[tuple[str, str]]:
    """Those of some stages that read an unfinished one that is not among them, each with that one."""
    return [(stage, up) for stage in stages for up in plan.stages[stage].reads if up in plan.why and up not in stages]


def check_needed(plan: Plan, stage: str) -> None:
    """Raises: UserError for a stage that the recipe does not have."""
    why = "does not need the stage" if plan.recipe.has_task else "has no task:, which the stage needs"
    require(stage in plan.stages, f"{stage}: this recipe {why}; it runs {', '.join(plan.stages)}")


def forced(plan: Plan, stage: str) -> Plan:
    """The plan in which a stage runs again though it is done."""
    check_needed(plan, stage)
    return replace(plan, why=reasons(plan, forced=stage))
