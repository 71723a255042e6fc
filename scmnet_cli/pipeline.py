"""Python entry point: load a model once, generate many images."""

from scmnet_cli.inference.pipeline import SHIPPED_MODEL, EncodedSource, Pipeline, Result, make_person

__all__ = ["SHIPPED_MODEL", "EncodedSource", "Pipeline", "Result", "make_person"]
