"""Named evaluation protocols: size, crop, padding, filter and SSIM window (docs/design.md, section 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.images import CropBox, whole_box
from scmnet_cli.metrics.ssim import ssim_gfla, ssim_patn, ssim_raw
from scmnet_cli.types import Canvas

_WHITE = 255
_NARROWEST, _WIDEST = 0.5, 1.01
"""Range of width / height that a protocol of a fixed size accepts."""


@dataclass(frozen=True)
class Protocol:
    """An evaluation protocol; every field but ``ssim`` goes into the report.

    Attributes:
        size: size of the comparison; None for the reference's own size.
        crop: how images are cropped or padded to that size.
        filter: resampling filter for images of another size.
        padding: padding for SSIM only.
        window: window of SSIM.
        data_range: data range of SSIM.
        reference: origin of the protocol.
        ssim: maps (B, 3, H, W) generated and reference to (B,).
    """

    name: str
    size: Canvas | None
    crop: str
    filter: str
    padding: str
    window: str
    data_range: str
    reference: str
    ssim: Callable[[Tensor, Tensor], Tensor] = field(repr=False)

    def box(self, canvas: Canvas, name: str) -> CropBox:
        """Return the crop of an image that is compared, and its size.

        Raises:
            ScmError: if the protocol does not accept the image's aspect.
        """
        if self.size is None:
            return CropBox(0, 0, canvas.width, canvas.height, canvas)
        if not self.takes(canvas):
            raise ScmError(
                f"{name}: is {canvas}; protocol {self.name} accepts upright to square images of people; "
                "use --protocol raw"
            )
        return whole_box(canvas.width, canvas.height, self.size)

    def takes(self, canvas: Canvas) -> bool:
        """Return whether a protocol of a fixed size accepts images of this aspect, upright to square."""
        return self.size is not None and _NARROWEST <= canvas.width / canvas.height <= _WIDEST

    def as_json(self) -> dict[str, Any]:
        """Return the protocol as plain values."""
        values = asdict(self)
        del values["ssim"]
        return values | {"size": "the reference's" if self.size is None else str(self.size)}


_GAUSSIAN = "Gaussian, sigma 1.5, 11x11, population covariance"
_CENTRE = "scaled to the same height and centred: a wider picture loses its sides, a narrower one gets white sides"
_FILTER = "Lanczos (Pillow)"

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "raw",
            None,
            "none",
            f"{_FILTER}, if a generated picture does not have the reference's size",
            "none",
            _GAUSSIAN,
            "255",
            "Wang et al. 2004, as scikit-image computes it",
            ssim_raw,
        ),
        Protocol(
            "patn",
            Canvas(256, 176),
            _CENTRE,
            _FILTER,
            "40 white columns each side, to 256x256",
            _GAUSSIAN,
            "max - min of the padded generated picture",
            "Zhu et al. 2019 (PATN), tool/getMetrics_fashion.py; results named A___B_vis",
            ssim_patn,
        ),
        Protocol(
            "gfla",
            Canvas(256, 256),
            _CENTRE,
            _FILTER,
            "none",
            "uniform, 51x51, sample covariance",
            "255",
            "Ren et al. 2020 (GFLA), script/metrics.py; results named A_2_B_vis",
            ssim_gfla,
        ),
        Protocol(
            "pise",
            Canvas(256, 176),
            _CENTRE,
            _FILTER,
            "none",
            _GAUSSIAN,
            "255",
            "Zhang et al. 2021 (PISE): the 40 outer columns cut off; their PSNR subtracts 8-bit numbers and wraps "
            "around, ours does not",
            ssim_raw,
        ),
    )
}
"""Protocols by their names for ``--protocol``."""


def find_protocol(name: str) -> Protocol:
    """Return a protocol by its name.

    Raises:
        ScmError: if there is no such protocol.
    """
    if name not in PROTOCOLS:
        raise ScmError(f"--protocol {name}: is not one of {', '.join(PROTOCOLS)}{nearest(name, PROTOCOLS)}")
    return PROTOCOLS[name]
