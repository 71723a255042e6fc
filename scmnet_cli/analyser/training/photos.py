"""Training photos of the analyser: Clothing Co-Parsing, pseudo-labels, and textures without people."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from scmnet_cli.analyser.network import ENCODER_PACKAGE
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.analyser.subjects import PEOPLE, Subject
from scmnet_cli.analyser.training.passers_by import PASSERS_BY
from scmnet_cli.analyser.training.reposed_people import reposed_people
from scmnet_cli.analyser.training.seen_from_behind import seen_from_behind
from scmnet_cli.analyser.training.transplants import transplants
from scmnet_cli.analyser.training.views import CARRIED, OF_PEOPLE, UNKNOWN, Manner, TrainingPhoto, training_photo
from scmnet_cli.data.prepared import is_val
from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.sources.ccp import CcpSource
from scmnet_cli.training.state import fingerprint
from scmnet_cli.types import FloatArray, UInt8Array

log = logging.getLogger(__name__)

ENCODER = f"EfficientNet-Lite0, ImageNet weights of {ENCODER_PACKAGE} 0.1.0 (Apache-2.0), fine-tuned"
"""Origin of the encoder, for the header of weights."""

TEXTURES = (
    "cell.png", "chelsea.png", "chessboard_RGB.png", "clock_motion.png", "coins.png", "color.png", "grass.png",
    "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "page.png", "text.png",
)  # fmt: skip
"""Images without people in scikit-image for training; the others are for evaluation."""

_ABOUT = {
    "kind": PEOPLE.kind,
    "licence": "Apache-2.0",
    "data": "Clothing Co-Parsing (Apache-2.0), train photos only; joints of its photos by BlazePose",
    "encoder": ENCODER,
}
_SURE = 0.7


@dataclass(frozen=True)
class Material:
    """Photos for training and validation, and their description for the header of the weights.

    Attributes:
        one_of: pixels labelled ``ONE_OF`` show one of these regions.
        drawn: photos of train people in garments of others, with turned arms, or as if seen from behind.
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
    drawn: list[TrainingPhoto] = field(default_factory=list)


def read_material(
    root: Path,
    *,
    unlabelled: bool = True,
    teacher: Analyser | None = None,
    num_transplants: int = 0,
    num_reposed: int = 0,
    num_from_behind: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Material:
    """Read Clothing Co-Parsing; every tenth usable photo by name is for validation, as in ``scm preprocess``.

    Args:
        root: the data set's folder, with its table of joints.
        unlabelled: also use photos without region labels, for their joints.
        teacher: analyser that pseudo-labels their regions where it is confident; None for no pseudo-labels.
        num_transplants: number of photos to add of train people in the garments of other train people.
        num_reposed: number of photos to add of train people with turned arms.
        num_from_behind: number of photos to add of train people as if seen from behind.
        progress: called with the number of photos read and in all.
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
            labels = np.where(source.carried(name) & (person.regions == BACKGROUND), np.uint8(CARRIED), person.regions)
            photo = training_photo(person.image, labels, person.joints)
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
        raise ScmError(f"{root}: has no usable photo for training")
    if teacher is not None:
        used.append(f"regions by {teacher.sha256}")
    drawn = transplants(train, num_transplants, 0, progress) if num_transplants else []
    if drawn:
        used.append(f"{len(drawn)} transplants")
    pictures = textures(TEXTURES)
    turned = reposed_people(train, pictures, num_reposed, 0, progress) if num_reposed else []
    if turned:
        used.append(f"{len(turned)} re-posed")
    backs = seen_from_behind(train, num_from_behind, 0, progress) if num_from_behind else []
    if backs:
        used.append(f"{len(backs)} from behind")
    return Material(train, bare, val, pictures, fingerprint(used), drawn=[*drawn, *turned, *backs])


def pseudo_labels(teacher: Analyser, image: UInt8Array) -> UInt8Array | None:
    """Pseudo-label the regions of a photo; 255 where the analyser's probability is below 0.7.

    Returns:
        region ids at the photo's size; None if the analyser finds no person.

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
    """Read images from scikit-image; those missing from the installed version are skipped."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return [Image.fromarray(read_photo(folder / name)) for name in names if (folder / name).is_file()]
