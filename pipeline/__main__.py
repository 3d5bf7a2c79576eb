"""What run_all.sh starts: `pipeline.launch.cli`, listening to signals from its first moment."""

import os
import signal
import sys

from pipeline.errors import INTERRUPTED

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(INTERRUPTED))  # nothing has begun
    from pipeline.launch.cli import main

    sys.exit(main())
