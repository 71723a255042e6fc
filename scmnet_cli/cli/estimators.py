"""Options that say who finds joints and regions in raw photos, for every command that reads such."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.options import read_size
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    import torch

    from scmnet_cli.analyser.people import Analyser

PoseEstimatorName = Annotated[
    str | None,
    typer.Option(
        "--pose-estimator",
        metavar="NAME",
        help="Who finds joints in raw photos: rtmpose-s, -m, -l, -x, dwpose-m, -l, or an ONNX file of that family "
        "(extra rtmlib); by default the built-in analyser.",
        rich_help_panel="Other estimators",
    ),
]
ParserFile = Annotated[
    str | None,
    typer.Option(
        "--parser",
        metavar="FILE.onnx",
        help="Who finds regions in raw photos: a human parser (extra onnx); by default the built-in analyser.",
        rich_help_panel="Other estimators",
    ),
]
ParserLabels = Annotated[
    str | None,
    typer.Option(
        "--parser-labels",
        metavar="NAME",
        help="What the parser's outputs are, such as schp-atr or fashn18; see --labels.",
        rich_help_panel="Other estimators",
    ),
]
ParserInput = Annotated[
    str | None,
    typer.Option(
        "--parser-input",
        metavar="NAME",
        help="How it reads pixels: rgb or bgr (ImageNet's mean and deviation), signed (-1 to 1), unit (0 to 1), bytes "
        "(0 to 255); by default bgr for SCHP's labels, else rgb.",
        rich_help_panel="Other estimators",
    ),
]
ParserSize = Annotated[
    str | None,
    typer.Option(
        "--parser-size",
        metavar="HxW",
        help="Size of what it reads, where the file leaves it open (512x512; schp-lip 473x473, fashn18 576x384).",
        rich_help_panel="Other estimators",
    ),
]


@dataclass(frozen=True)
class EstimatorOptions:
    """Options of the estimators of joints and regions; None where an option is not given."""

    pose: PoseEstimatorName = None
    parser: ParserFile = None
    labels: ParserLabels = None
    pixels: ParserInput = None
    size: ParserSize = None

    @property
    def given(self) -> dict[str, str]:
        """The options that are given, by name."""
        return {f"estimator_{name}": value for name, value in asdict(self).items() if value is not None}

    @property
    def first(self) -> str:
        """The first of the options that is given, as on the command line; empty if none is."""
        names = ("pose-estimator", "parser", "parser-labels", "parser-input", "parser-size")
        values = (self.pose, self.parser, self.labels, self.pixels, self.size)
        return next((f"--{name} {value}" for name, value in zip(names, values, strict=True) if value is not None), "")

    def analyser(self, device: torch.device | None = None) -> Analyser:
        """Load the analyser with the estimators behind it.

        Raises:
            ScmError: if one cannot be loaded, or an option of a parser is given without it.
        """
        from scmnet_cli.analyser.estimators import Estimators, Parser, PoseEstimator
        from scmnet_cli.analyser.people import Analyser

        if self.parser is None and (alone := EstimatorOptions(None, None, self.labels, self.pixels, self.size).first):
            raise ScmError(f"{alone}: there is no --parser; give its file, or leave this out")
        pose: PoseEstimator | None = None
        parser: Parser | None = None
        if self.pose is not None:
            from scmnet_cli.analyser.rtm_pose import RtmPose

            pose = RtmPose(self.pose, device)
        if self.parser is not None:
            from scmnet_cli.analyser.onnx_models import find_model
            from scmnet_cli.analyser.onnx_parser import OnnxParser

            size = None if self.size is None else read_size(self.size, "--parser-size", "576x384")
            parser = OnnxParser(find_model(self.parser, "--parser"), self.labels, self.pixels, size, device)
        return Analyser.load(device=device, estimators=Estimators(pose, parser))
