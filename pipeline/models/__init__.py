"""Models: load, build, start from a teacher, run, and what a pass gives.

architectures      what differs by model_type; no torch
json_files         the types in the JSON files beside a model; no torch
saved_model        what a saved model's files say; no torch
device             a GPU or the CPU, and whether all agree on which
loading            load and save
vocabulary         cuts tokenizer and embeddings to the pieces that a task uses most
seen_pieces        in training, only the embeddings of pieces that occur are parameters
fake_quantisation  a student's word embeddings in the 4 bits that ship, while it learns
new_student        a student of the size asked for, at random
student_init       copies of a teacher, an existing student
least_squares      ridge regression, best forms and maps of low rank
fit_sample         the texts of a fit, and what both models give on them
fitted_start       a student that is fitted to its teacher
fitted_head        its masked-LM head, fitted too
collate            tokenised rows as padded tensors, in buckets
attention          the attention function; queries, keys and values come out
packing            a batch as one sequence, without padding
trace              one pass, and the states that distillation compares
"""
