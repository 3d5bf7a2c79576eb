"""The page of commands says everything that the parsers know."""

import argparse
from collections.abc import Iterator

import pytest

from benchmarks.reference_pages import PARSERS, STATUSES, commands_page
from pipeline import errors


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser, and those of the commands inside it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


@pytest.mark.parametrize("command", PARSERS)
def test_every_option_stands_on_the_page_with_its_help(command: str) -> None:
    page = commands_page()
    assert f"## `{command}`" in page
    for parser in parsers(PARSERS[command]()):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
                continue
            assert action.help, f"{command}: {action.dest}"
            assert all(f"`{name}" in page or f", {name}" in page for name in action.option_strings)


def test_the_page_names_every_exit_status() -> None:
    known = {errors.OK, errors.FAILED, errors.BAD_INPUT, errors.INTERRUPTED}
    assert known == STATUSES.keys()
