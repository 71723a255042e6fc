"""Options that choose the estimators of joints and regions in raw photos."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.options import read_size
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from scmnet_cli.analyser.people import Analyser

PoseEstimatorName = Annotated[
    str | None,
    typer.Option(
        "--pose-estimator",
        metavar="NAME",
        help="Pose estimator for raw photos: rtmpose-s, -m, -l, -x, dwpose-m, -l, or an ONNX file of that family "
        "(extra rtmlib) [default: the built-in analyser].",
        rich_help_panel="Other estimators",
    ),
]
ParserFile = Annotated[
    str | None,
    typer.Option(
        "--parser",
        metavar="FILE.onnx",
        help="Human parser for raw photos, which predicts the region maps (extra onnx) [default: the built-in "
        "analyser].",
        rich_help_panel="Other estimators",
    ),
]
ParserLabels = Annotated[
    str | None,
    typer.Option(
        "--parser-labels",
        metavar="NAME",
        help="Label set of the parser's outputs, such as schp-atr or fashn18; see --labels.",
        rich_help_panel="Other estimators",
    ),
]
ParserInput = Annotated[
    str | None,
    typer.Option(
        "--parser-input",
        metavar="NAME",
        help="Normalisation of the parser's input: rgb or bgr (ImageNet mean and deviation), signed (-1 to 1), unit (0 "
        "to 1), bytes (0 to 255) [default: bgr for SCHP's labels, else rgb].",
        rich_help_panel="Other estimators",
    ),
]
ParserSize = Annotated[
    str | None,
    typer.Option(
        "--parser-size",
        metavar="HxW",
        help="Input size of the parser, if its file does not fix one [default: 512x512; schp-lip 473x473, fashn18 "
        "576x384].",
        rich_help_panel="Other estimators",
    ),
]


@dataclass(frozen=True)
class EstimatorOptions:
    """Options of the estimators of joints and regions; None if not given."""

    pose: PoseEstimatorName = None
    parser: ParserFile = None
    labels: ParserLabels = None
    pixels: ParserInput = None
    size: ParserSize = None

    @property
    def given(self) -> dict[str, str]:
        """The given options, by name."""
        return {f"estimator_{name}": value for name, value in asdict(self).items() if value is not None}

    @property
    def first(self) -> str:
        """The first given option, as on the command line; empty if none is given."""
        names = ("pose-estimator", "parser", "parser-labels", "parser-input", "parser-size")
        values = (self.pose, self.parser, self.labels, self.pixels, self.size)
        return next((f"--{name} {value}" for name, value in zip(names, values, strict=True) if value is not None), "")

    def analyser(self, device: torch.device | None = None, exported: Path | None = None) -> Analyser:
        """Load the analyser with the chosen estimators.

        Args:
            device: device of the networks; None for the CPU.
            exported: folder of an exported model, whose analyser is used; None for the shipped one, run by torch.

        Raises:
            ScmError: if one cannot be loaded, or an option of the parser is given without --parser.
        """
        from scmnet_cli.analyser.estimators import Estimators, Parser, PoseEstimator
        from scmnet_cli.analyser.people import Analyser

        if self.parser is None and (alone := EstimatorOptions(None, None, self.labels, self.pixels, self.size).first):
            raise ScmError(f"{alone}: needs --parser; give its file, or leave this out")
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
        chosen = Estimators(pose, parser)
        if exported is not None:
            from scmnet_cli.inference.exports.exported_analyser import load_exported_analyser

            return load_exported_analyser(exported, chosen)
        return Analyser.load(device=device, estimators=chosen)
