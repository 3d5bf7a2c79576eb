"""`accelerate launch`: wrong options in one sentence, no tracebacks of torch where processes were stopped or failed.

A stage says itself why it ended.
"""

import sys
from typing import NoReturn

from accelerate.commands.launch import launch_command, launch_command_parser
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from pipeline.errors import BAD_INPUT
from pipeline.launch.exit_status import report_exit


def main() -> None:
    parser = launch_command_parser()
    parser.error = refuse
    options = parser.parse_args()
    if not options.module:  # a word before `-m stages` is taken for a script
        refuse(f"{options.training_script!r} is no option")
    launch_command(options)


def refuse(message: str) -> NoReturn:
    """End with one sentence, and the status of bad input."""
    report_exit(BAD_INPUT, f"the options of the launcher: {message}; `accelerate launch --help` lists them")
    sys.exit(BAD_INPUT)


if __name__ == "__main__":
    try:
        main()
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)
    except ChildFailedError:
        sys.exit(1)
