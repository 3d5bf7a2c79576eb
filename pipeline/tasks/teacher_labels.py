"""Which of the task's labels each output of the user's own teacher stands for."""

from pathlib import Path

from pipeline.config import Recipe
from pipeline.data.labels import label_name
from pipeline.errors import UserError
from pipeline.tasks.labelled_data import TaskData


def says_nothing(names: tuple[str, ...]) -> bool:
    """Whether the names of a model's outputs are those that transformers gives where nobody named them."""
    return all(name.startswith("LABEL_") for name in names)


def teacher_labels(recipe: Recipe, data: TaskData, own: tuple[str, ...], *, folder: Path) -> tuple[str, ...]:
    """The task's label of each of the teacher's outputs, in the teacher's order.

    Raises: UserError when the teacher's labels are not the task's.
    """
    given = recipe.finetune_teacher.labels
    names = tuple(map(label_name, given or own))
    if own and len(names) != len(own):
        raise UserError(
            f"finetune_teacher.labels: {len(names)} names, but {folder} has {len(own)} outputs: {', '.join(own)}"
        )
    unnamed = not given and says_nothing(own) and len(own) == len(data.label_names)
    if unnamed and not data.kind.has_thresholds:
        return data.label_names  # names that say nothing; the stage compares the dev scores of other orders
    if sorted(names) == sorted(data.label_names):
        return names
    fold = {label.lower(): label for label in data.label_names}
    if sorted(name.lower() for name in names) == sorted(fold):
        return tuple(fold[name.lower()] for name in names)
    raise UserError(
        f"finetune_teacher.{'labels' if given else 'model'}: the labels of {folder} are"
        f" {', '.join(names) or 'not named'}, the task's are {', '.join(data.label_names)}; list the task's names in"
        " the teacher's order in finetune_teacher.labels"
    )
