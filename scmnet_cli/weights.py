"""Where the pretrained ImageNet backbones of losses and metrics are found, fetched from, and how they are read.

Three networks of torchvision and the Inception of pytorch-fid are known. Torchvision's files are taken as it downloads
them, or as cut copies that hold the convolutions only, in single or half precision. A file that is not there, or is not
the network it should be, is an error: nothing here ever falls back to random weights.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from scmnet_cli.checkpoint import sha256
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.system.downloads import download

VGG_BLOCKS: dict[str, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Convolutions in each of the five blocks; a max-pooling stands between two blocks."""

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
    """A pretrained network that something here needs.

    Attributes:
        file: its name as published.
        sha256: of the published file.
        url: where it is published.
        megabytes: size of the file in MiB.
        licence: of the weights.
        needed_by: what asks for it.
        cut: name of a copy with the convolutions only, that is taken too; empty where there is none.
        cut_sha256: of the copy that was checked against torchvision's; another copy may be as good.
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
"""Every pretrained network that losses and metrics may ask for."""

FACE_PARSER = "face-parser.safetensors"
"""File of the face parser, in the repository's research/: for non-commercial research, as what it is trained on."""

_MAX_PICKLE = 10_000_000


@dataclass(frozen=True)
class _Folder:
    path: Path
    origin: str


def _folders(weights_dir: Path | None) -> list[_Folder]:
    folders = []
    if weights_dir is not None:
        if not weights_dir.is_dir():
            raise ScmError(f"--weights-dir {weights_dir}: not a folder; name the one that holds the backbone files")
        folders.append(_Folder(weights_dir, "--weights-dir"))
    if os.environ.get("SCM_WEIGHTS"):
        folders.append(_Folder(Path(os.environ["SCM_WEIGHTS"]).expanduser(), "SCM_WEIGHTS"))
    folders.append(_Folder(_downloads(), "torchvision's downloads"))
    return folders


def _downloads() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch_command(name: str) -> str:
    """Return the shell command that downloads a backbone to where it is looked for."""
    return f"scm weights fetch {name}"


def backbone(name: str) -> Backbone:
    """Return what is known of a backbone.

    Raises:
        ScmError: if it is unknown.
    """
    if name not in BACKBONES:
        raise ScmError(f"backbone '{name}' is not one of {', '.join(BACKBONES)}{nearest(name, BACKBONES)}")
    return BACKBONES[name]


def searched_folders(weights_dir: Path | None = None) -> list[tuple[Path, str]]:
    """Return the folders that are looked in, in order, and who named each.

    Raises:
        ScmError: if ``weights_dir`` is not a folder.
    """
    return [(folder.path, folder.origin) for folder in _folders(weights_dir)]


def find_backbone(name: str, weights_dir: Path | None = None) -> Path:
    """Return the weight file of a backbone: ``vgg19``, ``vgg16``, ``alexnet`` or ``inception``.

    Looked for in ``weights_dir``, then in the folder that ``SCM_WEIGHTS`` names, then where torchvision downloads to.

    Raises:
        ScmError: if the network is unknown, ``weights_dir`` is not a folder, or no folder holds the file; the last
            names the file, the folders and the command that fetches it.
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
    """Return the face parser's weights from the first of the searched folders that holds them.

    Raises:
        ScmError: if ``weights_dir`` is not a folder.
    """
    files = (folder / FACE_PARSER for folder, _ in searched_folders(weights_dir))
    return next((file for file in files if file.is_file()), None)


def fetch_backbone(
    name: str,
    folder: Path | None = None,
    mirror: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Download a backbone, go on with a broken download, and check its SHA-256 against the one its name carries.

    A file that is there already is checked and not downloaded again.

    Args:
        name: of the backbone.
        folder: where to; None: where torchvision downloads to, which is always looked in.
        mirror: address of a folder with the same file names, instead of the publisher's.
        progress: called with the bytes done and to do, None where the server does not say.

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
    """Check a file against what is known of its network, and say in words what it is.

    A published file is known by the SHA-256 that its name carries. A cut copy is known by its SHA-256 if it is the one
    checked here, else only by its layout.

    Raises:
        ScmError: if it is another file, damaged, or another network's; the file is named.
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
    """Return the shape of every convolution weight and bias of a backbone, under torchvision's keys, in their order."""
    convs = _ALEXNET_CONVS if name == "alexnet" else _vgg_convs(name)
    shapes: dict[str, tuple[int, ...]] = {}
    for key, shape in convs.items():
        shapes[f"{key}.weight"] = shape
        shapes[f"{key}.bias"] = shape[:1]
    return shapes


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
        needed: the keys to return; the file may lack others. None: all.
        path: the file, where it is not to be looked for.

    Raises:
        ScmError: if no file is found, or it cannot be read, lacks a needed key, or holds another network.
    """
    path = path or find_backbone(name, weights_dir)
    expected = backbone_shapes(name)
    state = read_state(path, name)
    found = {key: value for key, value in state.items() if key.startswith("features.")}
    for key, value in found.items():
        if key not in expected:
            raise ScmError(f"{path}: is not {name} (it holds {key}, which {name} has not); {_replace(name)}")
        if tuple(value.shape) != expected[key]:
            shapes = f"{key} is {tuple(value.shape)}, expected {expected[key]}"
            raise ScmError(f"{path}: is not {name} ({shapes}); {_replace(name)}")
    wanted = list(expected) if needed is None else list(needed)
    for key in wanted:
        if key not in found:
            raise ScmError(f"{path}: lacks {key} of {name}; {_replace(name)}")
    return {key: found[key].detach().float().contiguous() for key in wanted}


def read_state(path: Path, name: str) -> Mapping[str, Tensor]:
    """Read a state dict, without running code that a file may hold.

    Raises:
        ScmError: if it cannot be read or holds something else.
    """
    try:
        _check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on damaged files: IndexError, struct.error, MemoryError ...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ScmError(f"{path}: cannot be read as {name} weights ({reason}); {_replace(name)}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ScmError(f"{path}: holds no state dict of {name}; {_replace(name)}")
    return state


def _check_archive(path: Path) -> None:
    """Refuse a zipped state dict that would unpack to more than its file: torch itself never compresses.

    Raises:
        ValueError: if it would, or its index of tensors is absurdly long.
        OSError, zipfile.BadZipFile: if it cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return  # the older format, in which tensors lie as they are
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its members are compressed")
    if any(member.filename.endswith("data.pkl") and member.file_size > _MAX_PICKLE for member in members):
        raise ValueError(f"its index has over {_MAX_PICKLE:,} bytes")


def _replace(name: str) -> str:
    return f"delete it and download the right one with: {fetch_command(name)}"
