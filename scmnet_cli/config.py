"""All settings of a model and its training, typed and with their defaults.

A config is a YAML file with the sections ``model``, ``data``, ``loss`` and ``train``; missing fields take the defaults
below. Shipped configs are named without a path (``-c ccp``); ``--set train.batch=4`` changes one field.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.models.choices import GANKind, NormName
from scmnet_cli.models.positions import STRIDE
from scmnet_cli.types import Canvas
from scmnet_cli.yaml_text import MAX_CHARACTERS, parse_yaml

SIZES: dict[str, dict[str, Any]] = {
    "base": {
        "features": 512,
        "pose_channels": [48, 96, 192, 384],
        "part_channels": [48, 96, 96],
        "generator_channels": [256, 384, 512],
        "generator_up_channels": [128, 64, 48],
        "discriminator_channels": [64, 128, 256],
        "discriminator_blocks": 3,
    },
    "small": {
        "features": 256,
        "pose_channels": [32, 64, 128, 256],
        "part_channels": [16, 32, 32],
        "generator_channels": [128, 192, 256],
        "generator_up_channels": [64, 32, 24],
        "discriminator_channels": [32, 64, 128],
        "discriminator_blocks": 1,
    },
    "tiny": {
        "features": 32,
        "pose_channels": [8, 8, 16, 16],
        "part_channels": [4, 4, 4],
        "generator_channels": [16, 16, 24],
        "generator_up_channels": [12, 8, 8],
        "discriminator_channels": [8, 8, 16],
        "discriminator_blocks": 1,
    },
}
"""Default channel lists of each ``model.size``. ``tiny`` is for tests and demos only."""


class Section(BaseModel):
    """A group of settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class ModelConfig(Section):
    """Networks (docs/design.md, section 2; the paper's 3.2 to 3.4)."""

    size: Literal["base", "small", "tiny"] = Field("base", description="fills in the channel lists that are not given")
    domain: Literal["person", "face"] = Field(
        "person", description="kind of images: people from joints, or faces from edges"
    )
    height: int = Field(256, ge=32, le=4096, multiple_of=8, description="canvas height in pixels")
    width: int = Field(176, ge=32, le=4096, multiple_of=8, description="canvas width in pixels")
    features: int = Field(512, ge=8, multiple_of=8, description="C, channels of pose and style features")
    pose_channels: list[int] = Field(
        min_length=4, max_length=4, description="pose encoder: 7x7, then three stride-2 convs"
    )
    part_channels: list[int] = Field(
        min_length=3, max_length=3, description="part encoder: 7x7, then two stride-2 convs; the last gives C/8"
    )
    generator_channels: list[int] = Field(min_length=3, max_length=3, description="U-Net at H/8, H/16, H/32")
    generator_up_channels: list[int] = Field(min_length=3, max_length=3, description="the three x2 upsamplings")
    generator_blocks: int = Field(2, ge=0, description="residual blocks at the bottom of the U-Net")
    discriminator_channels: list[int] = Field(min_length=3, max_length=3, description="7x7, then two stride-2 convs")
    discriminator_blocks: int = Field(ge=0, description="residual blocks of each discriminator")
    norm: NormName = Field("instance", description="norm of pose encoder and CCF")
    generator_norm: NormName = Field("instance", description="norm of the translation generator")
    style: Literal["decomposed", "global"] = Field("decomposed", description="'global': the paper's w/o DSE")
    mask_channel: bool = Field(
        True, description="give the part encoder the region's mask too, to distinguish grey from absent"
    )
    carry_colours: bool = Field(
        False, description="move each region's mean colours along the field too, as a base for the generator"
    )
    carry_detail: Literal[1, 2, 4, 8] = Field(
        1, description="carry_colours: cells per side of a position that are moved together; more keep patterns"
    )
    show_structure: bool = Field(
        False, description="give the generator the pose or edge maps too, for lines thinner than a feature position"
    )
    half_size: bool = Field(
        False,
        description="faces: encoders, field and generator work at half the canvas, and a fourth upsampling, which "
        "reads the edge maps at full size, adds detail",
    )
    part_warp: bool = Field(
        False, description="people: warp the source to the target's joints, part by part, and blend in its pixels"
    )
    foreground: bool = Field(
        True, description="part_warp: predict a foreground mask over a plain background; false for background: keep"
    )
    prior_sigma: float = Field(
        0.0,
        ge=0,
        le=10,
        description="sigma of the field's prior as a share of the height, 0: no prior; the prior is the part warp of "
        "people, or the alignment of faces",
    )
    correlation: bool = Field(
        True, description="false: no feature correlation, the field is its prior alone; needs part_warp"
    )
    ccf: bool = Field(True, description="Cross Channel Fusion; false: the paper's w/o CCF")
    tau: float = Field(0.01, gt=0, le=10, description="temperature of the correlation softmax")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_size(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {**SIZES.get(given.get("size", "base"), {}), **given}

    @model_validator(mode="after")
    def _half_size_is_for_faces(self) -> Self:
        if self.half_size and self.domain != "face":
            raise ValueError("model.half_size halves edge maps; set it to false for people")
        if self.half_size and (self.height % 16 or self.width % 16):
            raise ValueError(f"model.half_size needs multiples of 16, not {self.height}x{self.width}")
        return self

    @property
    def canvas(self) -> Canvas:
        """Size of the model's images."""
        return Canvas(self.height, self.width)

    @property
    def stride(self) -> int:
        """Pixels of the canvas along each side of a position of the correlation field."""
        return 2 * STRIDE if self.half_size else STRIDE


class DataConfig(Section):
    """Augmentation and caching of training data (docs/design.md, section 4)."""

    anti_copy: bool = Field(True, description="move image and regions of the style branch")
    flip: float = Field(0.5, ge=0, le=1, description="anti_copy: probability of mirroring the style image")
    rotate: float = Field(17.0, ge=0, le=90, description="anti_copy: largest rotation, degrees")
    scale: float = Field(0.2, ge=0, lt=1, description="anti_copy: largest change of scale, as a share")
    shift: float = Field(0.15, ge=0, lt=1, description="anti_copy: largest shift, as a share of height and width")
    warp: float = Field(0.03, ge=0, lt=0.5, description="anti_copy: size of the smooth warp, as a share of the height")
    drop_region: float = Field(0.1, ge=0, le=1, description="anti_copy: probability of dropping a region")
    half_body: float = Field(0.1, ge=0, le=1, description="anti_copy: probability of dropping the lower half")
    close_up: float = Field(
        0.0,
        ge=0,
        le=1,
        description="people: probability, for target and style image each, of cropping to the upper part",
    )
    close_up_both: float = Field(
        0.0, ge=0, le=1, description="people: probability of cropping target and style image to the same upper part"
    )
    repose: float = Field(0.0, ge=0, le=1, description="people: probability of warping the style image to another pose")
    repose_target: float = Field(
        0.0,
        ge=0,
        le=1,
        description="people: probability of turning the limbs of the target with the part warp",
    )
    joint_noise: float = Field(
        0.0, ge=0, le=0.1, description="people: noise of the style image's joints, as a share of the height"
    )
    mirror: float = Field(0.5, ge=0, le=1, description="probability of mirroring a whole sample (image and joints)")
    sketch: float = Field(
        0.5,
        ge=0,
        le=1,
        description="faces: probability of using Canny edges alone, without the parts' borders",
    )
    outline: float = Field(
        0.0,
        ge=0,
        le=1,
        description="faces: probability of using the parts' borders and the edges outside inner parts alone",
    )
    thick: float = Field(0.0, ge=0, le=1, description="faces: probability of drawing edges three pixels wide")
    broken: float = Field(0.0, ge=0, le=1, description="faces: probability of drawing edges with gaps")
    colours: float = Field(
        0.0, ge=0, le=1, description="spread of random gammas and saturations that target and style image share"
    )
    cache: Literal["ram", "device", "none"] = Field(
        "ram", description="where decoded uint8 images are kept; none: read from disk for each batch"
    )


class LossConfig(Section):
    """Losses and their weights (docs/design.md, section 3; the paper's 3.5). A loss of weight 0 is not computed."""

    adversarial: float = Field(5.0, ge=0, description="weight of the mean of the two discriminators' terms, Eq. 4")
    reconstruction: float = Field(1.0, ge=0, description="weight of L1, Eq. 5")
    perceptual: float = Field(1.0, ge=0, description="weight of the L1 of VGG features, Eq. 6")
    style: float = Field(150.0, ge=0, description="weight of the L1 of normalised Gram matrices, Eq. 7")
    bsr: float = Field(1.0, ge=0, description="weight of the body structure retaining loss, Eq. 8; 0: w/o BSR")
    field_regions: float = Field(
        1.0, ge=0, description="weight of the cross-entropy of moved source regions and the target's"
    )
    field_colours: float = Field(5.0, ge=0, description="weight of the L1 of moved source colours and the target's")
    edges: float = Field(0.0, ge=0, description="weight of the L1 of soft edges")
    edge_weight: float = Field(4.0, ge=1, le=100, description="weight of the pixels around the target's edges in it")
    foreground: float = Field(0.5, ge=0, description="part_warp: weight of the foreground mask's binary cross-entropy")
    person_weight: float = Field(1.0, ge=1, le=100, description="weight of the person's pixels in L1")
    vgg_band: float = Field(
        1.0, gt=0, le=1, description="height of the random band for the VGG losses, as a share of the image"
    )
    vgg_halved: float = Field(
        0.0, ge=0, le=1, description="share of steps whose VGG losses see the whole image at half the size instead"
    )
    cross: float = Field(
        0.0,
        ge=0,
        description="weight of crossed pairs: half of a batch in the style of the other half; not with part_warp",
    )
    cross_layers: list[str] = Field(
        ["relu4_3", "relu5_3"], min_length=1, description="VGG layers that keep the target's content in crossed pairs"
    )
    feature_adversarial: float = Field(
        0.0,
        ge=0,
        description="weight of the hinge loss of a discriminator that sees VGG features, mean over its layers",
    )
    feature_layers: list[str] = Field(
        ["relu3_3", "relu4_3", "relu5_3"], min_length=1, description="VGG layers that this discriminator sees"
    )
    gan: GANKind = Field("lsgan", description="form of the adversarial loss")
    vgg: Literal["vgg19", "vgg16"] = Field("vgg19", description="network of the perceptual, style and BSR losses")
    perceptual_layers: list[str] = Field(["relu1_2"], min_length=1, description="VGG layers of the perceptual loss")
    perceptual_scaled: bool = Field(
        False,
        description="divide each layer's L1 by the mean of the target's features: deep layers count alike",
    )
    style_layers: list[str] | None = Field(
        None, description="VGG layers of the style loss; null: relu2_2, 3_4, 4_4, 5_2 (VGG16: 2_2, 3_3, 4_3, 5_2)"
    )
    style_energy: bool = Field(
        False,
        description="divide both Gram matrices by the target's norm, so that blurred features, which have less energy, "
        "differ; crossed pairs get it too, on cross_layers",
    )
    bsr_layer: str = Field("relu3_1", description="VGG layer of the body graph")


class TrainConfig(Section):
    """The training run (docs/design.md, section 4). Progress is counted in images."""

    images: int = Field(1_000_000, ge=1, le=10**12, description="length of the run, in images")
    batch: int = Field(8, ge=1, le=100_000, description="images per step, over all processes and accumulated parts")
    accumulate: int = Field(1, ge=1, description="number of parts of a step's batch, to save memory")
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="arithmetic of the networks; weights stay float32"
    )
    channels_last: bool = Field(True, description="memory format of the networks")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's learning rate for the generator")
    discriminator_learning_rate: float = Field(4e-4, gt=0, description="Adam's learning rate for the discriminators")
    betas: tuple[float, float] = Field((0.5, 0.999), description="Adam's betas")
    max_gradient_norm: float = Field(0.0, ge=0, description="gradient clipping norm; 0: no clipping")
    decay_every: int = Field(0, ge=0, description="images between decays of the learning rates; 0: no decay")
    decay: float = Field(0.2, gt=0, le=1, description="factor of each decay")
    discriminators_from: int = Field(0, ge=0, description="number of images before the adversarial loss starts")
    vgg_losses_from: int = Field(0, ge=0, description="number of images before perceptual, style and BSR losses start")
    ema_images: int = Field(
        10_000, ge=0, description="half-life of the moving average of weights, in images; 0: no average"
    )
    log_every: int = Field(400, ge=1, description="images between lines of stats.jsonl")
    save_every: int = Field(4_000, ge=1, description="images between saved states")
    sample_every: int = Field(4_000, ge=1, description="images between sample grids")
    num_samples: int = Field(6, ge=1, le=32, description="number of people in a sample grid")


class Config(Section):
    """A whole configuration."""

    model: ModelConfig = Field(default_factory=lambda: ModelConfig.model_validate({}))
    data: DataConfig = Field(default_factory=lambda: DataConfig())
    loss: LossConfig = Field(default_factory=lambda: LossConfig())
    train: TrainConfig = Field(default_factory=lambda: TrainConfig())

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        if self.train.batch % self.train.accumulate:
            raise ValueError(
                f"train.batch {self.train.batch} is not a multiple of train.accumulate {self.train.accumulate}"
            )
        return self

    @model_validator(mode="after")
    def _something_brings_the_source(self) -> Self:
        if not self.model.correlation and not self.model.part_warp:
            raise ValueError("model.correlation: false leaves only the part warp; set model.part_warp to true")
        return self

    @model_validator(mode="after")
    def _crossed_pairs_have_no_warp(self) -> Self:
        if self.loss.cross and self.model.part_warp:
            raise ValueError("loss.cross has no part warp of a crossed pair; set it to 0, or model.part_warp to false")
        return self

    @model_validator(mode="after")
    def _faces_are_close(self) -> Self:
        if self.model.domain == "face":
            given = [
                name
                for name in ("close_up", "close_up_both", "repose", "repose_target", "joint_noise")
                if getattr(self.data, name)
            ]
            if given:
                raise ValueError(f"data.{given[0]} needs joints, which faces lack; set it to 0 for faces")
            if self.model.part_warp:
                raise ValueError("model.part_warp needs joints, which faces lack; set it to false for faces")
        return self


def config_folder() -> Path:
    """Return the folder of the shipped configs, in a checkout or an installed wheel."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "configs"


def shipped_configs() -> list[str]:
    """Return the names of the shipped configs."""
    return sorted(path.stem for path in config_folder().glob("*.yaml"))


def load_config(name_or_file: str, settings: tuple[str, ...] | list[str] = ()) -> Config:
    """Read a shipped config by name, or a YAML file, and apply ``section.field=value`` settings.

    Raises:
        ScmError: if there is no such config, or a key or value is wrong; the message suggests the nearest known key.
    """
    path = Path(name_or_file)
    if path.suffix not in {".yaml", ".yml", ".json"}:
        path = config_folder() / f"{name_or_file}.yaml"
        if not path.is_file():
            known = shipped_configs()
            raise ScmError(
                f"config '{name_or_file}' is neither a YAML file nor one of {', '.join(known)}"
                + nearest(name_or_file, known)
            )
    try:
        with path.open(encoding="utf-8") as file:
            values = parse_yaml(file.read(MAX_CHARACTERS + 1))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ScmError(f"config {path}: cannot be read as YAML ({error})") from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ScmError(f"config {path}: holds a {type(values).__name__}, expected sections model, data, loss, train")
    for setting in settings:
        _apply(values, setting)
    return parse_config(values, f"config {path.name}")


def _apply(values: dict[str, Any], setting: str) -> None:
    key, separator, text = setting.partition("=")
    section, dot, name = key.strip().partition(".")
    if not (separator and dot and name):
        raise ScmError(f"--set {setting}: expected section.field=value, for example train.batch=4")
    try:
        value = parse_yaml(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ScmError(f"--set {setting}: is not a YAML value ({error})") from error
    fields = values.setdefault(section, {})
    if not isinstance(fields, dict):
        raise ScmError(f"--set {setting}: section '{section}' of the config is not a mapping")
    fields[name] = value


def parse_config(values: Any, where: str) -> Config:
    """Validate parsed YAML or JSON as a config.

    Args:
        values: content of the file.
        where: name of the file for messages.

    Raises:
        ScmError: naming the first wrong key, its value, and what is expected.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        location = [str(part) for part in first["loc"]]
        key = ".".join(location) or "the whole"
        if first["type"] == "extra_forbidden":
            known = _fields_beside(location)
            hint = nearest(location[-1], known) or f"; known: {', '.join(known)}"
            raise ScmError(f"{where}: unknown key '{key}'{hint}") from error
        message = first["msg"].removeprefix("Value error, ")
        value = "" if isinstance(first.get("input"), dict) else f" = {first.get('input')!r}"
        raise ScmError(f"{where}: {key}{value}: {message}") from error


_RETIRED = {"data": ("every_edge",)}
"""Settings of earlier versions that no longer exist, by section."""


def parse_saved_config(values: Any, where: str) -> Config:
    """Validate the config that a file of this program holds: as :func:`parse_config`, without retired settings.

    Raises:
        ScmError: as :func:`parse_config`.
    """
    if isinstance(values, dict):
        values = {name: _without_retired(name, section) for name, section in values.items()}
    return parse_config(values, where)


def _without_retired(name: str, section: Any) -> Any:
    if not isinstance(section, dict):
        return section
    return {key: value for key, value in section.items() if key not in _RETIRED.get(name, ())}


def _fields_beside(location: list[str]) -> list[str]:
    if len(location) == 1:
        return list(Config.model_fields)
    section = Config.model_fields[location[0]].annotation
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []


def differences(left: Config, right: Config) -> list[str]:
    """Return the fields in which two configs differ, as ``section.field: left -> right``."""
    found = []
    for section in Config.model_fields:
        a, b = getattr(left, section).model_dump(), getattr(right, section).model_dump()
        found += [f"{section}.{name}: {a[name]} -> {b[name]}" for name in a if a[name] != b[name]]
    return found
