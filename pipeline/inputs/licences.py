"""The licences of what a recipe names: from the recipe, the cards of models and data, and the wheels they came in."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from pipeline.config import Recipe
from pipeline.inputs.recipe_inputs import RecipeInputs

CARD = "README.md"
Licences = Mapping[str, tuple[str, ...]]
"""By what has them (teacher, other_teacher, data), each named once; none where not all of them are known."""
SPDX = {"apache 2.0": "apache-2.0", "apache license 2.0": "apache-2.0", "mit license": "mit", "bsd": "bsd-3-clause"}


def find_licences(recipe: Recipe, inputs: RecipeInputs) -> Licences:
    """The licences of the teachers and of all data, from the recipe or else from beside the files."""
    card = recipe.card
    rows = [path for role in ("train", "unlabelled", "glue") for path in inputs.task.get(role, ())]
    corpus = inputs.corpus if learns_from_corpus(recipe) else ()
    folders = dict.fromkeys(_folder_of_card(path) for path in (*rows, *corpus, *inputs.augmented))
    found = {"teacher": [card.teacher_licence or next(_model_licences(inputs.teacher or inputs.backbone), None)]}
    if inputs.other_teacher:
        found["other_teacher"] = [card.other_teacher_licence or next(_model_licences(inputs.other_teacher), None)]
    found["data"] = [card.data_licence] if card.data_licence else [_licence_in_card(folder) for folder in folders]
    return {role: _each_once(licences) for role, licences in found.items()}


def learns_from_corpus(recipe: Recipe) -> bool:
    """Whether the corpus teaches the student, or its teacher; a masked LM that only proposes words is neither."""
    if not recipe.has_task:
        return True
    general = recipe.distill_general.epochs or recipe.student.may_be_fitted
    pretrained = recipe.pretrain_teacher.epochs and not recipe.pretrain_teacher.only_proposes
    return bool(pretrained or (general and recipe.student.start_from == "backbone"))


def _folder_of_card(path: Path) -> Path:
    """Where the README.md of a file, or of a folder, lies: beside it, or above a folder `data`, as in a hub dataset."""
    folder = path if path.is_dir() else path.parent
    return folder.parent if folder.name == "data" and not (folder / CARD).is_file() else folder


def _each_once(licences: Sequence[str | None]) -> tuple[str, ...]:
    """The different ones; none where one is not known."""
    known = [licence for licence in licences if licence]
    return tuple(dict.fromkeys(known)) if len(known) == len(licences) else ()


def _model_licences(folder: Path) -> Iterator[str]:
    """The licence in the card of a model, then those of the wheels that installed it."""
    if of_card := _licence_in_card(folder):
        yield of_card
    for parent in folder.parents:
        within = f"{folder.relative_to(parent).as_posix()}/"
        for record in parent.glob("*.dist-info/RECORD"):
            metadata = record.with_name("METADATA")
            installed_it = any(
                line.startswith(within) for line in record.read_text(encoding="utf-8", errors="replace").splitlines()
            )
            if not installed_it or not metadata.is_file():
                continue
            text = metadata.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
            if found := re.search(r"^License(?:-Expression)?: (.+)$", text, re.MULTILINE):
                yield SPDX.get(found[1].lower(), found[1].lower())


def _licence_in_card(folder: Path) -> str | None:
    """`license` in the front matter of the README.md in a folder; None where it is not known."""
    readme = folder / CARD
    if not readme.is_file():
        return None
    front = re.match(r"---\n(.*?)\n---", readme.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    try:
        metadata = yaml.safe_load(front[1]) if front else None
    except (yaml.YAMLError, ValueError):  # a date that is none is a ValueError
        return None
    licence = metadata.get("license") if isinstance(metadata, dict) else None
    return licence if isinstance(licence, str) and licence != "unknown" else None
