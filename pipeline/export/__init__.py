"""The student as files to ship. Needs no other part of the pipeline but errors.

onnx                writes float32 ONNX by torch's exporter, and int8 ONNX by quantisation
four_bits           tables of embeddings in 4 bits; needs no torch
packed_embeddings   the words' embeddings of such a file in 4 bits
decoder_onnx        float32 ONNX of a decoder, with past keys and values
onnx_session        opens such a file; needs no torch
"""
