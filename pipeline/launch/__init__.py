"""From the command line to processes, and back to an exit status.

cli            ./run_all.sh
table_recipe   a table in the place of a recipe
launcher       `accelerate launch`: command line, output, signals
stage_runner   a stage script from its start to its published artifact
exit_status    the status and the sentence that a process ends with
"""
