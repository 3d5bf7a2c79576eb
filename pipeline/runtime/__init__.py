"""One stage at work.

stage        its part of the plan, its folders, its processes
processes    what the launcher started, as Accelerate sees it
heartbeat    each process notices when another one is gone
patience     how long machines wait for each other
fresh_start  between two stages of one process: memory, generators
"""
