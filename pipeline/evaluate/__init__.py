"""What a model answers, and how good that is.

inference        a model over many texts, batched by length
scoring          the labelled splits, and the task's metric on them
latency          milliseconds of a forward pass
comparison       teacher against student: score, size, speed, intervals
exported_forms   the files to ship: score, size, speed of each
held_out         what a model says of text that no stage trained on
general          a general student beside its teacher, and its exported forms
label_order      the user's own teacher, its outputs in the task's order
other_teacher    a teacher of another architecture, whose predictions alone are learnt
"""
