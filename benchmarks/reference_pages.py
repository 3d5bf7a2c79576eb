"""The pages of the docs that are made of the code: every setting, every command."""

import argparse
import ast
from collections.abc import Callable, Iterator

from data_augment import __main__ as data_augment
from pipeline import PROJECT
from pipeline.artifacts import __main__ as artifacts
from pipeline.config.reference import sections
from pipeline.launch import options
from pipeline.plan.stages import STAGES
from pipeline.predict import __main__ as predict
from pipeline.report import __main__ as report
from pipeline.report import push

MADE = "Made by `python -m benchmarks.pages` from the code."
PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "./run_all.sh": options.parser,
    "python -m pipeline.predict": predict.parser,
    "python -m pipeline.report": report.parser,
    "python -m pipeline.report.push": push.parser,
    "python -m pipeline.artifacts": artifacts.parser,
    "python -m data_augment": data_augment.parser,
}
STATUSES = {
    0: "done",
    1: "a stage failed while it worked; its log is named. Or the set-up failed; .setup.log says why",
    2: "bad input: one sentence says what is wrong and where, most often before anything is launched",
    75: "interrupted; the same command goes on",
}


def settings_page() -> str:
    """Every setting with its type, its default and its help."""
    lines = ["# Settings", "", f"{MADE} A recipe is a YAML file of these sections. Each setting"]
    lines.append("can also be given on the command line, as `--section.field value`.")
    for section in sections():
        lines += ["", f"## {section.name or 'The whole run'}", "", _escaped(section.help), ""]
        lines += ["| setting | type | default | |", "|---|---|---|---|"]
        for setting in section.settings:
            type_, default = setting.type.replace("|", "\\|"), setting.default.replace("|", "\\|")
            lines.append(f"| `{setting.name}` | {type_} | `{default}` | {_escaped(setting.help)} |")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Every command with its options, and what the exit statuses mean."""
    lines = ["# Commands", "", f"{MADE} `--help` after a command says the same."]
    lines += ["`./run_tests.sh` runs the linters and the tests.", ""]
    for command, parser in PARSERS.items():
        lines += _command(command, parser())
    lines += ["## One stage alone", ""]
    lines += ["`accelerate launch -m stages.NAME --recipe R` runs one stage of a recipe, in one process or several."]
    lines += ["On a CPU each process takes one core, unless OMP_NUM_THREADS says more."]
    lines += [f"NAME is one of {', '.join(STAGES)}.", ""]
    lines += ["## Benchmarks", "", "Each is run as `python -m` with its name.", ""]
    lines += ["| module | what it measures |", "|---|---|"]
    lines += [f"| `{module}` | {_escaped(said)} |" for module, said in _benchmarks()]
    lines += ["", "## Exit statuses", "", "| status | meaning |", "|---|---|"]
    lines += [f"| {status} | {meaning} |" for status, meaning in STATUSES.items()]
    return "\n".join(lines) + "\n"


def _command(command: str, parser: argparse.ArgumentParser, *, level: str = "##") -> list[str]:
    """A section: what a command does, and a table of its options; the commands inside it follow."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    lines = [f"{level} `{command}`", "", _escaped(_first_paragraph(parser.description or "")), ""]
    rows = [_option(action) for action in parser._actions if action not in inner and action.dest != "help"]
    if rows:
        lines += ["| option | |", "|---|---|", *rows, ""]
    for action in inner:
        said = {choice.dest: str(choice.help) for choice in action._choices_actions}
        for name, one in action.choices.items():
            one.description = f"{said[name][:1].upper()}{said[name][1:]}."
            lines += _command(name, one, level=f"{level}#")
    return lines


def _option(action: argparse.Action) -> str:
    """A row of the table: how the option is written, and its help."""
    value = "" if action.nargs == 0 else _value(action)
    names = ", ".join(f"{name} {value}".strip() for name in action.option_strings) or value
    needed = "required: " if action.required and action.option_strings else ""
    return f"| `{names}` | {needed}{_escaped(' '.join((action.help or '').split()))} |"


def _value(action: argparse.Action) -> str:
    """What stands behind an option, or in place of an argument."""
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return " or ".join(map(str, action.choices))
    return action.dest.upper() if action.option_strings else action.dest


def _benchmarks() -> Iterator[tuple[str, str]]:
    """Each module of benchmarks/ that is a command, with the first sentence of its docstring."""
    for path in sorted((PROJECT / "benchmarks").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            yield f"benchmarks.{path.stem}", _first_paragraph(ast.get_docstring(tree) or "")


def _first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
