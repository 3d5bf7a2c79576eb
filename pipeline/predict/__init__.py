"""Answers of a saved student: `python -m pipeline.predict`.

__main__   the command line
backends   PyTorch weights, or the int8 ONNX file without torch
answers    from outputs to labels, scores, tags and spans
"""
