"""The student learns from its teacher.

objectives         from an objective's name to its loss
layers             the student beside its teacher, layer by layer
start              how a student and its head start fitted
augmented_dataset  the augmented dataset as the stages read it
random_tokens      random tokens in the texts from which layers are learnt
meter              the seconds of a pass and of a training step, for estimates
token_costs        what a run costs on this machine, as --dry-run and progress bars say it
"""
