"""Settings of training the analyser and the face parser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError

from scmnet_cli.config import Section
from scmnet_cli.errors import ScmError, nearest


class AnalyserConfig(Section):
    """Training of the analyser (docs/analyser.md)."""

    images: int = Field(60_000, ge=1, description="views to train on")
    batch: int = Field(16, ge=2, description="views per step")
    height: int = Field(384, ge=64, le=4096, multiple_of=32, description="height of a view in pixels")
    width: int = Field(256, ge=64, le=4096, multiple_of=32, description="width of a view in pixels")
    learning_rate: float = Field(1.5e-3, gt=0, description="peak learning rate of the new layers")
    encoder_share: float = Field(0.3, ge=0, description="learning rate of the encoder relative to it")
    warmup: int = Field(2_000, ge=0, description="views of the learning rate's warm-up")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's weight decay")
    frozen_stages: int = Field(2, ge=0, le=7, description="number of first encoder stages that are frozen")
    ema_images: int = Field(2_000, ge=0, description="half-life of the moving average of weights, in views")
    save_every: int = Field(1_600, ge=1, description="views between saved states")
    measure_every: int = Field(4_800, ge=1, description="views between validations")
    precision: Literal["bf16", "float32"] = Field("bf16", description="arithmetic of convolutions")
    balance: float = Field(0.25, ge=0, le=1, description="class weights are shares of the pixels to minus this power")


class FaceParserConfig(AnalyserConfig):
    """Training of the face parser (docs/faces.md): the analyser's settings with other defaults."""

    images: int = Field(14_000, ge=1, description="views to train on")
    width: int = Field(192, ge=64, le=4096, multiple_of=32, description="width of a view in pixels")
    height: int = Field(192, ge=64, le=4096, multiple_of=32, description="height of a view in pixels")
    warmup: int = Field(1_000, ge=0, description="views of the learning rate's warm-up")
    ema_images: int = Field(1_000, ge=0, description="half-life of the moving average of weights, in views")
    save_every: int = Field(800, ge=1, description="views between saved states")
    measure_every: int = Field(2_000, ge=1, description="views between validations")


def parse_analyser_config(settings: Sequence[str], of: type[AnalyserConfig] = AnalyserConfig) -> AnalyserConfig:
    """Parse ``KEY=VALUE`` settings for training the analyser or the face parser.

    Raises:
        ScmError: naming the first wrong key or value.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator or name not in of.model_fields:
            known = list(of.model_fields)
            raise ScmError(f"--set {setting}: expected KEY=VALUE, KEY one of {', '.join(known)}{nearest(name, known)}")
        values[name] = text
    try:
        return of.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = first["loc"][0]
        raise ScmError(f"--set {key}={values[str(key)]}: {first['msg']}") from error
