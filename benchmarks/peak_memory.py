"""The peak memory of a process, in bytes, as Linux counts it.

    python -m benchmarks.peak_memory COMMAND ARGUMENT ...

runs a command, without its output, and prints what it took as JSON. A small process starts it, because the peak that a
system reports for a child is at least that of the process which started it.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def forget_peak() -> None:
    """From now on the peak of this process is that of what comes: what was loaded before may have needed more."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> int:
    """Bytes of this process at the most since it began, or since `forget_peak`."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def main() -> int:
    """The status of the command; its seconds, its processor time and its peak are printed."""
    began = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds, cpu_seconds = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_memory": usage.ru_maxrss * 1024}))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
