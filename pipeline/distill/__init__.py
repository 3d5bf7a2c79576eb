"""The student learns from its teacher.

objectives         from an objective's name to its loss
layers             the student beside its teacher, layer by layer
start              how a student and its head start fitted
augmented_dataset  the augmented dataset as the stages read it
"""
