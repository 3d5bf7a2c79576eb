"""Bad input, through the command that a user types."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.bad_inputs import BAD_INPUTS, assert_one_sentence, below, prepare
from tests.helpers.commands import run_all

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [0, len(BAD_INPUTS) // 2, len(BAD_INPUTS) - 1])
def test_the_command_says_the_same(world: Path, number: int) -> None:
    words = prepare(world, BAD_INPUTS[number])
    before = below(world)
    said = run_all(*words)
    assert said.returncode == 2
    assert_one_sentence(world, said.stderr, BAD_INPUTS[number]["says"])
    assert below(world) == before


def test_a_hub_that_is_not_reached_is_one_sentence(world: Path) -> None:
    words = prepare(world, {"set": {"backbone": "hub:owner/tiny"}})
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(world)}  # nobody listens there
    command = [sys.executable, "-m", "pipeline", *words]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert_one_sentence(world, run.stderr, "hub:owner/tiny is not in the hub's cache, and the hub is not reached")
