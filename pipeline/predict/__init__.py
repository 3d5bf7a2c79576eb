"""Answers of a saved student: `python -m pipeline.predict`.

__main__        the command line
student         from texts to the model's outputs
torch_backend   the PyTorch weights
onnx_backend    the int8 ONNX file, without torch and transformers
server          a JSON API and a page to try it in (the extra `serve`)
answers         from outputs to labels, scores, tags and spans
"""
