"""The types of settings, which say more about a value than Python's own types do; and the texts of --help."""

import ast
import functools
import inspect
import itertools
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

# `defer_build`: pydantic builds one validator, that of the whole recipe, not one a section. It does not read the help
# texts either (`use_attribute_docstrings`): that takes longer than all else here, and only --help needs them.
CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)
WRONG = "wrong_setting"  # the type of the errors that `require_setting` raises


def require_setting(condition: object, sentence: str, setting: str = "") -> None:
    """Raise, unless the condition holds, the error that `recipe_file` prints as `FILE:LINE: SECTION.SETTING: sentence`.

    Args: setting: its name, where a section checks several together; empty in the validator of one.
    """
    if not condition:
        raise PydanticCustomError(WRONG, "{sentence}", {"sentence": sentence, "setting": setting})


@functools.cache
def help_texts(section: type) -> dict[str, str]:
    """The text under each field that a section's own code declares, by the field's name."""
    (definition,) = ast.parse(inspect.getsource(section)).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, below in itertools.pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = inspect.cleandoc(text)
    return texts


def _number_as_text(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("YAML takes yes, no, on and off for true and false; put the name in quotes")
    return str(value) if type(value) in (int, float) else value


def _columns_by_label(value: object) -> object:
    if isinstance(value, dict):
        return {_number_as_text(label): _number_as_text(column) for label, column in value.items()}
    return _number_as_text(value)


def _labels_as_text(value: object) -> object:
    return {_number_as_text(label): weight for label, weight in value.items()} if isinstance(value, dict) else value


def _no_yes_or_no(value: object) -> object:
    if isinstance(value, bool):  # YAML's yes and no; Python would take them for 1 and 0
        raise ValueError("it must be a number")
    return value


def _layer_map(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"uniform|top|bottom|last|every [1-9]\d*", value):
        return value
    if isinstance(value, list | tuple) and value and all(type(layer) is int and layer >= 0 for layer in value):
        return tuple(value)
    raise ValueError("it must be uniform, top, bottom, last, 'every 2', or a list of the teacher's layers")


def _trained_part(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"all|head|top [1-9]\d*", value):
        return value
    raise ValueError("it must be all, head, or 'top 2': the head and so many of the upper layers")


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        require_setting(False, f"{value!r} is no regular expression: {error}")
    return value


def _language(value: str) -> str:
    code = re.fullmatch(r"auto|[a-z]{2,3}", value)
    meant = MEANT.get(value)
    require_setting(
        code and not meant, f"{value!r} is no ISO 639 code of a language; write {meant or 'en, zh or auto'}"
    )
    return value


def is_folder_name(value: str) -> bool:
    """Whether it can be the name of a run's folder."""
    return bool(re.fullmatch(r"\w[\w.-]*", value))


def _folder_name(value: str) -> str:
    simple = is_folder_name(value) or not value
    use = "use letters, digits, '.', '_' and '-' (--name OTHER)"
    require_setting(simple, f"{value!r} names a folder, or holds another sign; {use}")
    return value


MEANT = {"cn": "zh", "jp": "ja", "cz": "cs", "gr": "el", "ua": "uk", "dk": "da"}  # countries
NUMBER = BeforeValidator(_no_yes_or_no)
Count = Annotated[int, NUMBER, Field(ge=0)]
Positive = Annotated[int, NUMBER, Field(ge=1)]
Share = Annotated[float, NUMBER, Field(ge=0, le=1)]
SmallShare = Annotated[float, NUMBER, Field(ge=0, lt=1)]
NonNegative = Annotated[float, NUMBER, Field(ge=0)]
AboveZero = Annotated[float, NUMBER, Field(gt=0)]
ONE_OR_SEVERAL = BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
Strings = Annotated[tuple[str, ...], ONE_OR_SEVERAL]
NAME = BeforeValidator(_number_as_text)
Name = Annotated[str, NAME]
Column = Name
Columns = Annotated[tuple[Column, ...], ONE_OR_SEVERAL]
Labels = Columns
SoftColumnNames = Annotated[dict[str, str] | str | None, BeforeValidator(_columns_by_label)]
ClassWeights = Annotated[Literal["balanced"] | dict[str, AboveZero] | None, BeforeValidator(_labels_as_text)]
LayerMap = Annotated[str | tuple[int, ...], PlainValidator(_layer_map)]
TrainedPart = Annotated[str, PlainValidator(_trained_part)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Language = Annotated[str, NAME, AfterValidator(_language)]
FolderName = Annotated[str, NAME, AfterValidator(_folder_name)]
