"""What a recipe needs, what is done, and what will run. Never imports torch.

stages          the table of stages: reads, settings, files, version
stage_specs     the stages of one recipe, with their fingerprints
plan            the recipe compared with what is published
checks, student_checks, general_checks, decoder_checks   bad input is one sentence, before anything is launched
estimate        time and disk that a run will take
run_folder      runs/NAME/: links, recipe, results
"""
