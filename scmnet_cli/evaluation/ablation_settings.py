"""Settings and budget of the ablation study."""

from __future__ import annotations

from dataclasses import dataclass

from scmnet_cli.config import Config

_NUM_SAVES = 10


@dataclass(frozen=True)
class Setting:
    """One row of the study: changes that remove a part of the full config.

    Attributes:
        name: name of its folder, and for ``--only``.
        title: title in the tables; the paper's own if it has one.
        changes: ``section.field=value`` each.
        of_part_warp: whether it only applies to configs with ``model.part_warp``.
    """

    name: str
    title: str
    changes: tuple[str, ...] = ()
    of_part_warp: bool = False


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("no-dse", "w/o DSE", ("model.style=global",)),
        Setting("no-ccf", "w/o CCF", ("model.ccf=false",)),
        Setting("no-bsr", "w/o BSR", ("loss.bsr=0",)),
        Setting("full", "Full"),
        Setting("no-anti-copy", "w/o anti_copy", ("data.anti_copy=false",)),
        Setting("no-correspondence", "w/o correspondence", ("loss.field_regions=0", "loss.field_colours=0")),
        Setting("tau-1", "tau = 1", ("model.tau=1",)),
        Setting("no-part-warp", "w/o part warp", ("model.part_warp=false", "model.correlation=true")),
        Setting("no-repose", "w/o repose", ("data.repose=0",)),
        Setting("no-prior", "w/o prior", ("model.prior_sigma=0",), of_part_warp=True),
        Setting("no-correlation", "w/o correlation (the warp alone)", ("model.correlation=false",), of_part_warp=True),
    )
}
"""Settings by name in the order of the tables: the paper's four, then ours."""


@dataclass(frozen=True)
class Budget:
    """Training budget of each setting.

    Attributes:
        images: number of training images, the same for all settings.
        minutes: time in which the full config trains on that many images here; None if the budget was given in images.
        images_per_second: measured training speed of the full config; None if the budget was given in images.
    """

    images: int
    minutes: float | None = None
    images_per_second: float | None = None

    def described(self) -> str:
        """Return the budget as a phrase."""
        if self.minutes is None:
            return f"{self.images:,} images"
        return (
            f"{self.images:,} images, what the whole config trains on in {self.minutes:g} minutes at "
            f"{self.images_per_second} images/s"
        )


def shrunk(config: Config, images: int) -> list[str]:
    """Return changes that train a config on another number of images, with its whole schedule in proportion."""
    train = config.train
    share = images / train.images
    values = {"images": images}
    for name in ("decay_every", "discriminators_from", "vgg_losses_from", "ema_images"):
        at = getattr(train, name)
        values[name] = max(1, round(at * share)) if at else 0
    for name in ("save_every", "sample_every", "log_every"):
        values[name] = min(getattr(train, name), max(1, images // _NUM_SAVES))
    return [f"train.{name}={value}" for name, value in values.items()]
