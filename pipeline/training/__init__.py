"""The training loop and what feeds it.

loop            accumulate, clip, schedule, log, evaluate, checkpoint, resume
optimizer       AdamW, its learning rate by step, which part of a model is trained
batches         which rows go through the model when
step_losses     left on the device until they are read
prefetch        a process's share of every step, collated ahead
checkpoints     written whole or not at all
throughput      tokens a second, and the share of the device's peak
language_model  masked LMs and decoders in training, and what both predict
masked_lm       masked-LM training of a backbone
causal_lm       training of a decoder, and how well it predicts texts
"""
