"""SCM-Net: pose-guided person image generation learnt from single photos.

An implementation of *Self-supervised Correlation Mining Network for Person Image Generation*.
The Python entry point is :class:`scmnet_cli.pipeline.Pipeline`; the command line is ``scm``.
"""

__version__ = "0.1.0"
