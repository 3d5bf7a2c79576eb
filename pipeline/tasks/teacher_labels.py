"""Which of the task's labels each output of a teacher of the user's stands for."""

from pathlib import Path

from pipeline.config import Recipe
from pipeline.data.labels import label_name
from pipeline.errors import UserError
from pipeline.tasks.base import TaskKind


def says_nothing(names: tuple[str, ...]) -> bool:
    """Whether the names of a model's outputs are those that transformers gives where nobody named them."""
    return all(name.startswith("LABEL_") for name in names)


def teacher_labels(
    recipe: Recipe,
    kind: TaskKind,
    label_names: tuple[str, ...],
    own: tuple[str, ...],
    *,
    folder: Path,
    setting: str = "finetune_teacher.model",
) -> tuple[str, ...]:
    """The task's label of each of the teacher's outputs, in the teacher's order.

    Args:
        label_names: the task's.
        own: the teacher's, in the order of its outputs.
        setting: that names the teacher; `labels` of its section can name its outputs.

    Raises: UserError when the teacher's labels are not the task's.
    """
    section = setting.partition(".")[0]
    given: tuple[str, ...] = getattr(recipe, section).labels
    names = tuple(map(label_name, given or own))
    if own and len(names) != len(own):
        raise UserError(f"{section}.labels: {len(names)} names, but {folder} has {len(own)} outputs: {', '.join(own)}")
    unnamed = not given and says_nothing(own) and len(own) == len(label_names)
    if unnamed and not kind.has_thresholds:
        return label_names  # names that say nothing; the stage compares the scores of other orders
    if sorted(names) == sorted(label_names):
        return names
    fold = {label.lower(): label for label in label_names}
    if sorted(name.lower() for name in names) == sorted(fold):
        return tuple(fold[name.lower()] for name in names)
    raise UserError(
        f"{f'{section}.labels' if given else setting}: the labels of {folder} are {', '.join(names) or 'not named'},"
        f" the task's are {', '.join(label_names)}; list the task's names in the teacher's order in {section}.labels"
    )
