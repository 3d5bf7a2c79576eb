"""The student as files to ship. Needs no other part of the pipeline but errors.

onnx           writes float32 ONNX by torch's exporter, and int8 ONNX by quantisation
decoder_onnx   the same of a decoder, with past keys and values
onnx_session   opens such a file; needs no torch
"""
