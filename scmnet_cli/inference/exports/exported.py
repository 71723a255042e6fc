"""Run a model of ``scm export`` with ONNX Runtime on the CPU; importing this imports no torch.

Torch is imported only for pictures larger than the model's canvas, whose part warp is torch code, and for faces.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from scmnet_cli.checkpoint import SavedModel
from scmnet_cli.config import ModelConfig, parse_saved_config
from scmnet_cli.domains import PERSON
from scmnet_cli.errors import ScmError
from scmnet_cli.files import parse_json
from scmnet_cli.inference.drawing_model import DrawingModel, Pictures
from scmnet_cli.inference.exports.exported_warp import OPENED_FILES, WARP_FIELDS, ExportedPerson, run
from scmnet_cli.inference.limbs.bags import complete_at_bags
from scmnet_cli.inference.limbs.leg_owners import leg_owners
from scmnet_cli.inference.values import ReadySource, Result
from scmnet_cli.models.positions import STRIDE, affected_positions
from scmnet_cli.regions import NUM_REGIONS
from scmnet_cli.types import Canvas, FloatArray, Person, Pose, UInt8Array

if TYPE_CHECKING:
    from torch import Tensor

    from scmnet_cli.inference.composition.enlarging import Enlarged

FORMAT = "scm-net onnx"
"""Format name in the metadata of all files."""

FORMAT_VERSION = 8
"""Version of the files that this code reads and writes."""

REGION_ENCODER = "region_encoder.onnx"
STYLE_FUSION = "style_fusion.onnx"
POSE_TO_IMAGE = "pose_to_image.onnx"
ANALYSER = "analyser.onnx"
FILES = (REGION_ENCODER, STYLE_FUSION, POSE_TO_IMAGE)
"""The files of every exported model; one of people has the analyser too."""

_WITH_CONVOLUTIONS = (REGION_ENCODER, ANALYSER)
"""Small graphs that run at twice the speed if ONNX Runtime changes the layout of their convolutions."""

NEEDS_EXTRA = "needs the packages of an extra; install them with: pip install 'scmnet-cli[onnx]'"


class _Header(BaseModel):
    """Metadata of an exported file besides the config."""

    extra: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ExportedSource(ReadySource):
    """Source encoded by an exported model.

    Shape:
        image: (1, 3, H, W) in [-1, 1]; masks: (1, 8, H, W), both completed at bags; own_masks: (1, 8, H, W), not
        completed; style: (1, K, H/8, W/8); owners: (1, H, W), the part that each pixel of the legs belongs to, None
        without a part warp; to_warp: the person with and without mirrored limbs.
    """

    image: FloatArray
    masks: FloatArray
    own_masks: FloatArray
    style: FloatArray
    owners: UInt8Array | None = None
    to_warp: dict[bool, ExportedPerson] = field(default_factory=dict, repr=False, compare=False)


class ExportedModel(DrawingModel):
    """A model whose networks are ONNX files; it does not edit.

    It is deterministic. Single pixels of its images may differ from the model's by a rounding step.
    """

    runtime = "onnxruntime"

    def __init__(self, saved: SavedModel, sessions: Mapping[str, Any]) -> None:
        """Wrap sessions of ONNX Runtime by the names of their files; :meth:`from_exported` opens them."""
        self._describe(saved, "cpu")
        self._region_encoder, self._style_fusion = sessions[REGION_ENCODER], sessions[STYLE_FUSION]
        self._pose_to_image = sessions[POSE_TO_IMAGE]
        self._of_warp = {name: sessions[name] for name in OPENED_FILES if name in sessions}

    @classmethod
    def from_exported(cls, folder: Path) -> Self:
        """Open a folder of ``scm export``.

        Raises:
            ScmError: if a file is missing or damaged, the files are of two models, or ONNX Runtime is missing.
        """
        for name in FILES:
            check_is_there(folder, name)
        sessions = {name: open_session(folder / name, str(folder / name)) for name in FILES}
        main = folder / POSE_TO_IMAGE
        about = metadata_of(main, sessions[POSE_TO_IMAGE])
        try:
            values = json.loads(about["config"])
        except (KeyError, ValueError, RecursionError) as error:
            raise ScmError(f"{main}: has no readable config; it is damaged, export the model again") from error
        config = parse_saved_config(values, f"config in {main}")
        for name in OPENED_FILES if config.model.part_warp else ():
            check_is_there(folder, name)
            sessions[name] = open_session(folder / name, str(folder / name))
        for name, session in sessions.items():
            if metadata_of(folder / name, session).get("model_sha256") != about.get("model_sha256"):
                raise ScmError(f"model {folder}: {name} and {POSE_TO_IMAGE} are of two models; export one again")
        remedy = "it is damaged, export the model again"
        header = parse_json(f'{{"extra": {about.get("extra", "")}}}', _Header, f"header of {main}", remedy)
        return cls(SavedModel({}, config, header.extra, main), sessions)

    def exchange(
        self,
        source: Person | ReadySource,  # noqa: ARG002 - signature of the base class
        references: Mapping[str, Person | ReadySource],  # noqa: ARG002
        *,
        force: bool = False,  # noqa: ARG002
    ) -> NoReturn:
        """Raise an error: edits are made with the model itself.

        Raises:
            ScmError: always.
        """
        raise ScmError(f"{self.path.parent}: an exported model does not edit; use the model that it was made of")

    def encode_photos(self, photos: Sequence[Person]) -> ExportedSource:
        """Encode the one photo of a person.

        Raises:
            ScmError: as :meth:`encode`, and if there is not exactly one photo.
        """
        if len(photos) != 1:
            raise ScmError(f"{self.path.parent}: an exported model uses one photo of a person; give one")
        return self.encode(photos[0])

    def encode(self, source: Person) -> ExportedSource:
        """Encode a source: each region on its bounding box, as the model itself does.

        Raises:
            ScmError: if it is of another domain, has another aspect ratio, or its region map is all background.
        """
        start = time.perf_counter()
        person = self._fitted(source)
        own_image, own_masks = _as_arrays(person)
        (style,) = self._style_fusion.run(None, {"region_features": self._encode_regions(own_image, own_masks)})
        whole = complete_at_bags(source)
        image, masks = _as_arrays(self._fitted(whole))
        owners = leg_owners(whole, self.canvas)[None] if self.config.model.part_warp else None
        photo = source if source.canvas.height > self.canvas.height else None
        seconds = time.perf_counter() - start
        return ExportedSource(
            person, (), seconds, photo, image=image, masks=masks, own_masks=own_masks, style=style, owners=owners
        )

    def _encode_regions(self, image: FloatArray, masks: FloatArray) -> FloatArray:
        """Encode the regions that are present, each on its bounding box; absent regions have zero features."""
        if self.config.model.half_size:
            image, masks = _halved(image), masks[:, :, ::2, ::2]
        if self.config.model.style == "global":
            (features,) = self._region_encoder.run(None, {"image": image, "mask": masks[:, :1]})
            whole: FloatArray = features[:, None]
            return whole
        shape = [dim if isinstance(dim, int) else 1 for dim in self._style_fusion.get_inputs()[0].shape]
        encoded = np.zeros(shape, np.float32)  # (1, 8, C', H/8, W/8)
        for part in np.flatnonzero(masks[0].any(axis=(1, 2))):
            mask = masks[:, part : part + 1]
            (top, bottom), (left, right) = (_affected(mask[0, 0].any(axis=axis)) for axis in (1, 0))
            box = (..., slice(STRIDE * top, STRIDE * bottom), slice(STRIDE * left, STRIDE * right))
            inputs = {"image": np.ascontiguousarray(image[box]), "mask": np.ascontiguousarray(mask[box])}
            encoded[:, part, :, top:bottom, left:right] = self._region_encoder.run(None, inputs)[0]
        return encoded

    def paint(self, source: ExportedSource, structure: npt.NDArray[Any]) -> dict[str, FloatArray]:
        """Return the outputs of ``pose_to_image.onnx`` by name for one source in one pose.

        Shape:
            structure: joints of a person, (1, 18, 3), or edges of a face, (1, H, W).
        """
        name = structure_input(self.config.model)
        given = structure if name == "joints" else self._edge_maps(structure)
        inputs = {name: given, "style_features": source.style, "image": source.image, "masks": source.masks}
        if self.config.model.part_warp:
            inputs |= self._warp(source, structure)
        return run(self._pose_to_image, inputs)

    def _warp(self, source: ExportedSource, joints: FloatArray) -> dict[str, FloatArray]:
        """Return the fields of the part warp."""
        warp = self._to_warp(source).warp(joints)
        parts = (warp.image, warp.regions, warp.coverage, warp.coordinates)
        return dict(zip(WARP_FIELDS, parts, strict=True))

    def _to_warp(self, source: ExportedSource) -> ExportedPerson:
        if self.mirrored_limbs not in source.to_warp:
            source.to_warp[self.mirrored_limbs] = ExportedPerson(
                self._of_warp, source.image, source.masks, source.person.joints[None], self.mirrored_limbs,
                source.own_masks, source.owners,
            )  # fmt: skip
        return source.to_warp[self.mirrored_limbs]

    def _replaced_limbs(self, source: ExportedSource) -> Tensor:
        """Return which limbs to draw as the other one, and which hands, as the model itself does, (1, 6) bool."""
        import torch

        from scmnet_cli.inference.limbs.unseen_limbs import NUM_REPLACED, replaced_limbs

        if not self.mirrored_limbs:
            return torch.zeros(1, NUM_REPLACED, dtype=torch.bool)
        return replaced_limbs(torch.from_numpy(source.own_masks), torch.tensor(source.person.joints)[None])

    def _structure(self, source: ExportedSource, pose: Pose) -> FloatArray:
        """Return a pose as a batch, without the limbs not to be drawn; without a part warp torch finds them."""
        structure = pose.structure[None]
        if self.mirrored_limbs or self.domain is not PERSON:
            return structure
        if self.config.model.part_warp:
            absent = self._to_warp(source).absent
        else:
            import torch

            from scmnet_cli.inference.limbs.unseen_limbs import absent_joints

            absent = absent_joints(torch.from_numpy(source.own_masks), torch.tensor(source.person.joints)[None]).numpy()
        without: FloatArray = np.where(absent[..., None], np.float32(0), structure)
        return without

    def _edge_maps(self, edges: npt.NDArray[Any]) -> FloatArray:
        """Draw the edge maps of a face with torch."""
        import torch

        maps: FloatArray = self.domain.maps(torch.from_numpy(edges), self.canvas).numpy()
        return maps

    def _draw(self, encoded: ReadySource, poses: list[Pose], canvas: Canvas) -> list[Result]:
        assert isinstance(encoded, ExportedSource)
        return [self._draw_one(encoded, pose, canvas) for pose in poses]  # on a CPU a batch is not faster

    def _draw_one(self, encoded: ExportedSource, pose: Pose, canvas: Canvas) -> Result:
        start = time.perf_counter()
        structure = self._structure(encoded, pose)
        painted = self.paint(encoded, structure)
        image, alpha = painted["picture"], painted.get("alpha")
        if canvas != self.canvas:
            drawn = self._enlarged(encoded, painted, structure, canvas)
            image, alpha = drawn.image.numpy(), None if drawn.alpha is None else drawn.alpha.numpy()
        moved, stride = painted["moved_maps"][0], self.config.model.stride
        pictures = Pictures(
            [_picture(image[0])],
            [None if alpha is None else (alpha[0, 0] * 255).round().astype(np.uint8)],
            _in_pixels(moved[:NUM_REGIONS].argmax(0).astype(np.uint8), stride)[None],
            [_in_pixels(_picture(moved[NUM_REGIONS:]), stride)],
            painted["field_entropy"].tolist(),
        )
        return self._results(encoded, [pose], canvas, pictures, time.perf_counter() - start)[0]

    def _enlarged(
        self, source: ExportedSource, painted: Mapping[str, FloatArray], structure: FloatArray, canvas: Canvas
    ) -> Enlarged:
        """Composite a picture at the photo's resolution with torch, as the model itself does."""
        import torch

        from scmnet_cli.inference.synthesis import enlarge_rows, owners_of, photo_of
        from scmnet_cli.models.generator import Rendering

        fields = (painted.get(name) for name in ("picture", "drawn", "blend", "foreground"))
        rendering = Rendering(*(None if field is None else torch.from_numpy(field) for field in fields))  # type: ignore[arg-type]
        photo = photo_of(source.largest, canvas, torch.device("cpu"), is_cut_out=self.has_plain_background)
        owners = owners_of(source.largest, canvas, torch.device("cpu"))
        photo = replace(photo, replaced=self._replaced_limbs(source), owners=owners)
        scale = np.array([canvas.width / self.canvas.width, canvas.height / self.canvas.height, 1], np.float32)
        with torch.inference_mode():
            return enlarge_rows(rendering, photo, torch.from_numpy(structure * scale), plain=self.has_plain_background)


def check_is_there(folder: Path, name: str) -> None:
    """Raise an error if an exported folder lacks a file.

    Raises:
        ScmError: with the command that makes it.
    """
    if not (folder / name).is_file():
        raise ScmError(f"model {folder}: holds no {name}; 'scm export MODEL -o {folder}' makes it")


def structure_input(config: ModelConfig) -> str:
    """Return the name of the structure input of ``pose_to_image.onnx``: joints of people or edge maps of faces."""
    return "joints" if config.domain == PERSON.name else "edge_maps"


def _as_arrays(person: Person) -> tuple[FloatArray, FloatArray]:
    """Return a person's image in [-1, 1], (1, 3, H, W), and region masks, (1, 8, H, W)."""
    image = np.ascontiguousarray(person.image.transpose(2, 0, 1)[None], np.float32) / np.float32(127.5) - 1
    return image, (person.regions == np.arange(NUM_REGIONS)[:, None, None])[None].astype(np.float32)


def _affected(line: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Return the range of feature positions that a region changes; ``line`` is its projection on an axis."""
    seen = np.flatnonzero(line)
    return affected_positions(int(seen[0]), int(seen[-1]), len(line))


def _halved(image: FloatArray) -> FloatArray:
    """Return the means of 2x2 pixels, (1, 3, H/2, W/2)."""
    _, channels, height, width = image.shape
    halved: FloatArray = image.reshape(1, channels, height // 2, 2, width // 2, 2).mean((3, 5), dtype=np.float32)
    return halved


def _picture(image: FloatArray) -> UInt8Array:
    """Convert an image in [-1, 1], (3, H, W), to a picture, (H, W, 3)."""
    levels: UInt8Array = ((image.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def _in_pixels(positions: UInt8Array, stride: int) -> UInt8Array:
    """Repeat the values of feature positions, (H/8, W/8, ...), for each pixel."""
    return positions.repeat(stride, axis=0).repeat(stride, axis=1)


def open_session(model: Path | bytes, where: str) -> Any:
    """Open an exported file, or its content, in ONNX Runtime on the CPU.

    Raises:
        ScmError: if ONNX Runtime is missing or cannot read it.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ScmError(f"--runtime onnx: {NEEDS_EXTRA} ({error})") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads()
    options.use_deterministic_compute = True
    options.enable_mem_pattern = False  # planned memory is new memory in the second run too, which takes a third of it
    # 'scm export' wrote optimised graphs; to search large ones again takes a second and gains nothing.
    levels = onnxruntime.GraphOptimizationLevel
    with_convolutions = isinstance(model, Path) and model.name in _WITH_CONVOLUTIONS
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if with_convolutions else levels.ORT_DISABLE_ALL
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise ScmError(f"{where}: is damaged or not an ONNX file that runs here ({error}); export it again") from error


def num_threads() -> int:
    """Return the number of threads to compute with: ``OMP_NUM_THREADS`` as for torch, else the cores of this process.

    Left to itself, ONNX Runtime counts the machine's cores, also those that this process may not use.
    """
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if given.isdecimal() and int(given):
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def metadata_of(path: Path, session: Any) -> dict[str, str]:
    """Return the metadata of an exported file.

    Raises:
        ScmError: if it is another ONNX file, or of another version.
    """
    metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
    if metadata.get("format") != FORMAT:
        raise ScmError(f"{path}: is ONNX, but not a model of 'scm export'")
    version = metadata.get("format_version", "")
    if version.isdecimal() and int(version) < FORMAT_VERSION:
        raise ScmError(f"{path}: has format version {version} of an older program; export the model again")
    if version != str(FORMAT_VERSION):
        raise ScmError(
            f"{path}: has format version {version}, this program reads {FORMAT_VERSION}; install a newer one"
        )
    return metadata
