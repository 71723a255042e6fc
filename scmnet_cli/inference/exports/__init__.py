"""Exported models: writing ONNX files, and drawing with them without torch."""
