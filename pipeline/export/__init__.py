"""The student as files to ship. Nothing here knows the pipeline.

onnx           ONNX by torch's exporter, int8 by quantisation
onnx_session   such a file opened; needs no torch
vocabulary     tokenizer and embeddings cut to the pieces in use
"""
