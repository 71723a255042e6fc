"""Where the pretrained ImageNet backbones of losses and metrics are found, and how they are read.

Three networks of torchvision are known. Their files are taken as torchvision downloads them, or as cut copies that hold
the convolutions only, in single or half precision. A file that is not there, or is not the network it should be, is an
error: nothing here ever falls back to random weights.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from scmnet_cli.errors import ScmError, nearest

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

_FILES = {
    "vgg19": ("vgg19-dcbb9e9d.pth", "vgg19-features-fp16.pth"),
    "vgg16": ("vgg16-397923af.pth", "vgg16-features-fp16.pth"),
    "alexnet": ("alexnet-owt-7be5be79.pth", "alexnet-features-fp16.pth"),
}

_UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError)


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
    folders.append(_Folder(Path(torch.hub.get_dir()) / "checkpoints", "torchvision's downloads"))
    return folders


def fetch_command(name: str) -> str:
    """Return the shell command with which torchvision downloads a backbone into its own cache."""
    return f"""python -c "import torchvision; torchvision.models.{name}(weights='IMAGENET1K_V1')\""""


def find_backbone(name: str, weights_dir: Path | None = None) -> Path:
    """Return the weight file of ``vgg19``, ``vgg16`` or ``alexnet``.

    Looked for in ``weights_dir``, then in the folder that ``SCM_WEIGHTS`` names, then where torchvision downloads to.

    Raises:
        ScmError: if the network is unknown, ``weights_dir`` is not a folder, or no folder holds the file; the last
            names the file, the folders and the command that fetches it.
    """
    if name not in _FILES:
        raise ScmError(f"backbone '{name}' is not one of {', '.join(_FILES)}{nearest(name, _FILES)}")
    folders = _folders(weights_dir)
    for folder in folders:
        for file in _FILES[name]:
            if (folder.path / file).is_file():
                return folder.path / file
    places = ", ".join(f"{folder.path} ({folder.origin})" for folder in folders)
    raise ScmError(
        f"{name} weights: no {' or '.join(_FILES[name])} in {places}; download it with: {fetch_command(name)} "
        "- or give the folder that holds it: --weights-dir or SCM_WEIGHTS"
    )


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
    name: str, weights_dir: Path | None = None, needed: Collection[str] | None = None
) -> dict[str, Tensor]:
    """Read the convolutions of a backbone as float32, under torchvision's keys (``features.N.weight``).

    Args:
        name: ``vgg19``, ``vgg16`` or ``alexnet``.
        weights_dir: folder searched first, see :func:`find_backbone`.
        needed: the keys to return; the file may lack others. None: all.

    Raises:
        ScmError: if no file is found, or it cannot be read, lacks a needed key, or holds another network.
    """
    path = find_backbone(name, weights_dir)
    expected = backbone_shapes(name)
    state = _read(path, name)
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


def _read(path: Path, name: str) -> Mapping[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ScmError(f"{path}: cannot be read as {name} weights ({reason}); {_replace(name)}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ScmError(f"{path}: holds no state dict of {name}; {_replace(name)}")
    return state


def _replace(name: str) -> str:
    return f"delete it and download the right one with: {fetch_command(name)}"
