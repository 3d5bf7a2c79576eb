"""What sits on the encoder, one module a kind of task: load, save, outputs, losses.

regression   scores, standardised while a model learns
embedding    one vector a text
"""
