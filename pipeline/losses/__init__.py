"""One function an equation. Tensors in, a scalar out; nothing here knows a model or a stage.

tinybert          TinyBERT's losses
related_methods   those of DistilBERT, PKD, MiniLM and MiniLMv2
"""
