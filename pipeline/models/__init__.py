"""One forward pass of encoders.

architectures   what differs by model_type; no torch
saved_model     what a saved model's files say; no torch
loading         load, build and save
student_init    how a student's weights are initialised
collate         tokenised rows as padded tensors, in buckets
attention       the attention function; queries, keys and values come out
packing         a batch as one sequence, without padding
trace           one pass, and the states that distillation compares
"""
