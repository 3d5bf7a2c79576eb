"""From the command line to processes, and back to an exit status.

cli             ./run_all.sh
options         its options
selection       which stages it runs
table_recipe    a table in place of a recipe
listing         the table of --list and --dry-run
launch_command  the `accelerate launch` command line
accelerate_launch   what is started: `accelerate launch` itself, without torch's tracebacks
launcher        a launch: its processes, output, signals
stage_logs      one log for each stage, out of the output of a launch
stage_runner    what is launched: a stage, or several in turn, from the start of the processes to their end
stage_work      the work of one stage: from verified inputs to a published artifact
exit_status     the status and the sentence that a process ends with
"""
