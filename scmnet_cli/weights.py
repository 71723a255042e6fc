"""Find, download and read the pretrained ImageNet backbones of losses and metrics.

These are three networks of torchvision and the Inception of pytorch-fid. Torchvision's files may be originals, or cut
copies with only the convolutions, in single or half precision. A missing file or another network is an error: there is
no fallback to random weights.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scmnet_cli.checkpoint import sha256
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.system.downloads import download

if TYPE_CHECKING:
    from torch import Tensor

VGG_BLOCKS: dict[str, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Number of convolutions in each of the five blocks; max-pooling separates the blocks."""

VGG_CHANNELS = (64, 128, 256, 512, 512)
"""Channels of the five blocks of every VGG."""

_ALEXNET_CONVS = {
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
}


@dataclass(frozen=True)
class Backbone:
    """A pretrained network.

    Attributes:
        file: name of the published file.
        sha256: hash of the published file.
        url: address of the published file.
        megabytes: size of the file in MiB.
        licence: licence of the weights.
        needed_by: commands that need it.
        cut: name of a copy with only the convolutions, which is accepted too; empty if there is none.
        cut_sha256: hash of a copy that was checked against torchvision's; other copies may be valid too.
    """

    name: str
    file: str
    sha256: str
    url: str
    megabytes: float
    licence: str
    needed_by: str
    cut: str = ""
    cut_sha256: str = ""


def _of_torchvision(
    name: str, file: str, sha256: str, megabytes: float, needed_by: str, cut_sha256: str = ""
) -> Backbone:
    url = f"https://download.pytorch.org/models/{file}"
    cut = f"{name}-features-fp16.pth"
    return Backbone(name, file, sha256, url, megabytes, "BSD-3-Clause", needed_by, cut, cut_sha256)


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        _of_torchvision(
            "vgg19",
            "vgg19-dcbb9e9d.pth",
            "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
            548.1,
            "scm train: losses on VGG19 features, the default",
        ),
        _of_torchvision(
            "vgg16",
            "vgg16-397923af.pth",
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            527.8,
            "scm eval: LPIPS-vgg, FD-VGG16; scm train with loss.vgg=vgg16",
            "6fe8c718c417a703edbb0966602c165d61cf32b62667288c66108d07247f7257",
        ),
        _of_torchvision(
            "alexnet",
            "alexnet-owt-7be5be79.pth",
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            233.1,
            "scm eval, scm transfer: LPIPS-alex",
            "a09dbc9534b5c5f409d75503762f7a0179bb81dd96f7e3893b9fa542dd873a55",
        ),
        Backbone(
            "inception",
            "pt_inception-2015-12-05-6726825d.pth",
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
            91.2,
            "Apache-2.0",
            "scm eval: FID, IS",
        ),
    )
}
"""All pretrained networks of losses and metrics."""

FACE_PARSER = "face-parser.safetensors"
"""Weight file of the face parser, in the repository's research/; like its training data for non-commercial research."""

FACE_MODEL = "faces.safetensors"
"""File of the model of faces, in the repository's research/: for non-commercial research too."""

_ROOT = Path(__file__).parents[1]
_MAX_PICKLE = 10_000_000


@dataclass(frozen=True)
class _Folder:
    path: Path
    origin: str


def _folders(weights_dir: Path | None) -> list[_Folder]:
    folders = []
    if weights_dir is not None:
        if not weights_dir.is_dir():
            raise ScmError(f"--weights-dir {weights_dir}: not a folder; give the one that holds the backbone files")
        folders.append(_Folder(weights_dir, "--weights-dir"))
    if os.environ.get("SCM_WEIGHTS"):
        folders.append(_Folder(Path(os.environ["SCM_WEIGHTS"]).expanduser(), "SCM_WEIGHTS"))
    folders.append(_Folder(_downloads(), "torchvision's downloads"))
    return folders


def _downloads() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch_command(name: str) -> str:
    """Return the shell command that downloads a backbone to a searched folder."""
    return f"scm weights fetch {name}"


def backbone(name: str) -> Backbone:
    """Return a backbone by name.

    Raises:
        ScmError: if it is unknown.
    """
    if name not in BACKBONES:
        raise ScmError(f"backbone '{name}' is not one of {', '.join(BACKBONES)}{nearest(name, BACKBONES)}")
    return BACKBONES[name]


def searched_folders(weights_dir: Path | None = None) -> list[tuple[Path, str]]:
    """Return the searched folders in order, each with its origin.

    Raises:
        ScmError: if ``weights_dir`` is not a folder.
    """
    return [(folder.path, folder.origin) for folder in _folders(weights_dir)]


def find_backbone(name: str, weights_dir: Path | None = None) -> Path:
    """Return the weight file of a backbone: ``vgg19``, ``vgg16``, ``alexnet`` or ``inception``.

    The searched folders are ``weights_dir``, ``SCM_WEIGHTS``, and torchvision's download folder.

    Raises:
        ScmError: if the network is unknown, ``weights_dir`` is not a folder, or no folder has the file.
    """
    known = backbone(name)
    files = [known.file, known.cut] if known.cut else [known.file]
    folders = _folders(weights_dir)
    for folder in folders:
        for file in files:
            if (folder.path / file).is_file():
                return folder.path / file
    places = ", ".join(f"{folder.path} ({folder.origin})" for folder in folders)
    raise ScmError(
        f"{name} weights: no {' or '.join(files)} in {places}; download it with: {fetch_command(name)} "
        "- or give the folder that holds it: --weights-dir or SCM_WEIGHTS"
    )


def find_face_parser(weights_dir: Path | None = None) -> Path | None:
    """Return the face parser's weights from the first searched folder that has them; None without any.

    Raises:
        ScmError: if ``weights_dir`` is not a folder.
    """
    files = (folder / FACE_PARSER for folder, _ in searched_folders(weights_dir))
    return next((file for file in files if file.is_file()), None)


_IN_CHECKOUT = ("pyproject.toml", "scmnet_cli/weights.py")
"""Files that show that a folder is a checkout of the repository."""


def find_research_file(name: str) -> Path | None:
    """Return a file of the repository's research/: from there in a checkout, else from the searched folders.

    A checkout is the one that the package runs from, or the current folder.
    """
    roots = [root for root in (_ROOT, Path.cwd()) if all((root / file).exists() for file in _IN_CHECKOUT)]
    files = (
        folder / name for folder in [*(root / "research" for root in roots), *(path for path, _ in searched_folders())]
    )
    return next((file for file in files if file.is_file()), None)


def fetch_backbone(
    name: str,
    folder: Path | None = None,
    mirror: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Download a backbone, resume a broken download, and check its SHA-256.

    An existing file is checked and not downloaded again.

    Args:
        name: name of the backbone.
        folder: target folder; None for torchvision's download folder, which is always searched.
        mirror: address of a folder with the same file names, instead of the publisher's.
        progress: called with the bytes done and in all, None if the server does not give the size.

    Raises:
        ScmError: if the name is unknown, there is no connection, or the file is not the published one.
    """
    known = backbone(name)
    place = (folder or _downloads()) / known.file
    url = known.url if mirror is None else f"{mirror.rstrip('/')}/{known.file}"
    if place.is_file():
        verify_backbone(name, place)
        return place
    try:
        download(url, place, known.sha256, progress)
    except ScmError as error:
        raise ScmError(
            f"{error}; without internet: '{fetch_command(name)} --to FOLDER' on a machine that has it, copy FOLDER "
            "here and set SCM_WEIGHTS=FOLDER"
        ) from error
    return place


def verify_backbone(name: str, path: Path) -> str:
    """Verify a weight file and return its description.

    A published file is verified by its SHA-256, a cut copy by the known SHA-256 or else by its layout.

    Raises:
        ScmError: if it is another file, damaged, or of another network.
    """
    known = backbone(name)
    found = sha256(path)
    if path.name == known.file:
        if found != known.sha256:
            raise ScmError(
                f"{path}: is not the published file: its sha256 is {found}, not {known.sha256}; {_replace(name)}"
            )
        return "as published"
    load_backbone(name, path=path)
    if found == known.cut_sha256:
        return "cut copy, convolutions in half precision, sha256 known"
    return "cut copy, right layout, sha256 unknown here"


def backbone_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all convolution weights and biases of a backbone by torchvision's keys, in order."""
    convs = _ALEXNET_CONVS if name == "alexnet" else _vgg_convs(name)
    shapes: dict[str, tuple[int, ...]] = {}
    for key, shape in convs.items():
        shapes[f"{key}.weight"] = shape
        shapes[f"{key}.bias"] = shape[:1]
    return shapes


def vgg_channels(layer: str) -> int:
    """Return the number of channels of a layer such as ``relu3_1``, the same in each VGG."""
    block, _, _ = layer.removeprefix("relu").partition("_")
    return VGG_CHANNELS[int(block) - 1]


def _vgg_convs(name: str) -> dict[str, tuple[int, ...]]:
    convs: dict[str, tuple[int, ...]] = {}
    place, channels_in = 0, 3
    for num_convs, channels in zip(VGG_BLOCKS[name], VGG_CHANNELS, strict=True):
        for _ in range(num_convs):
            convs[f"features.{place}"] = (channels, channels_in, 3, 3)
            channels_in = channels
            place += 2  # the convolution and its ReLU
        place += 1  # the max-pooling
    return convs


def load_backbone(
    name: str, weights_dir: Path | None = None, needed: Collection[str] | None = None, path: Path | None = None
) -> dict[str, Tensor]:
    """Read the convolutions of a backbone as float32, under torchvision's keys (``features.N.weight``).

    Args:
        name: ``vgg19``, ``vgg16`` or ``alexnet``.
        weights_dir: folder searched first, see :func:`find_backbone`.
        needed: the keys to return, None for all; the file may lack others.
        path: the file; None to search for it.

    Raises:
        ScmError: if no file is found, or it cannot be read, lacks a needed key, or holds another network.
    """
    path = path or find_backbone(name, weights_dir)
    expected = backbone_shapes(name)
    state = read_state(path, name)
    found = {key: value for key, value in state.items() if key.startswith("features.")}
    for key, value in found.items():
        if key not in expected:
            raise ScmError(f"{path}: is not {name} (it holds {key}, which {name} lacks); {_replace(name)}")
        if tuple(value.shape) != expected[key]:
            shapes = f"{key} is {tuple(value.shape)}, expected {expected[key]}"
            raise ScmError(f"{path}: is not {name} ({shapes}); {_replace(name)}")
    wanted = list(expected) if needed is None else list(needed)
    for key in wanted:
        if key not in found:
            raise ScmError(f"{path}: lacks {key} of {name}; {_replace(name)}")
    return {key: found[key].detach().float().contiguous() for key in wanted}


def read_state(path: Path, name: str) -> Mapping[str, Tensor]:
    """Read a state dict without executing code in the file.

    Raises:
        ScmError: if it cannot be read or holds something else.
    """
    import torch

    try:
        _check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on damaged files: IndexError, struct.error, MemoryError ...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ScmError(f"{path}: cannot be read as {name} weights ({reason}); {_replace(name)}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ScmError(f"{path}: holds no state dict of {name}; {_replace(name)}")
    return state


def _check_archive(path: Path) -> None:
    """Check that a zipped state dict is not compressed; torch never compresses, so it might be a zip bomb.

    Raises:
        ValueError: if it is, or its index of tensors is implausibly long.
        OSError, zipfile.BadZipFile: if it cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return  # the older format without an archive
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its members are compressed")
    if any(member.filename.endswith("data.pkl") and member.file_size > _MAX_PICKLE for member in members):
        raise ValueError(f"its index has over {_MAX_PICKLE:,} bytes")


def _replace(name: str) -> str:
    return f"delete it and download the right one with: {fetch_command(name)}"
