"""The two subjects of the analyser's network: people and faces share network and trainer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from scmnet_cli.analyser.network import NUM_STAGES, AnalyserNet
from scmnet_cli.analyser.people import CANVAS, FILE
from scmnet_cli.checkpoint import load_strict, load_tensors
from scmnet_cli.errors import ScmError
from scmnet_cli.regions import BODY_REGIONS, FACE_REGIONS
from scmnet_cli.skeleton import JOINTS, MIRRORED
from scmnet_cli.types import Canvas
from scmnet_cli.weights import FACE_PARSER


@dataclass(frozen=True)
class Subject:
    """The subject that a network detects: its regions and landmarks.

    Attributes:
        name: name of the network, for messages.
        kind: ``kind`` in the header of its weight file.
        file: name of its weight file.
        trained_by: the command that writes the file.
        joints: names of the joints or landmarks.
        mirrored: index of each joint's mirror image.
        regions: names of the regions; the index is the id.
        canvas: size of the network's input.
        num_stages: stages of the encoder.
        carried: whether the network learns what a person carries as a class of its own.
    """

    name: str
    kind: str
    file: str
    trained_by: str
    joints: tuple[str, ...]
    mirrored: tuple[int, ...]
    regions: tuple[str, ...]
    canvas: Canvas
    num_stages: int = NUM_STAGES
    carried: bool = False

    def build(self) -> AnalyserNet:
        """Return a network with random weights."""
        return AnalyserNet(len(self.joints), len(self.regions), self.num_stages, carried=self.carried)


PEOPLE = Subject(
    name="analyser",
    kind="scm analyser",
    file=FILE,
    trained_by="scm analyser train",
    joints=JOINTS,
    mirrored=MIRRORED,
    regions=BODY_REGIONS,
    canvas=CANVAS,
    carried=True,
)

FACES = Subject(
    name="face parser",
    kind="scm face parser",
    file=FACE_PARSER,
    trained_by="scm analyser train --domain face",
    # Left and right are the person's own, as for people: the right eye is on the left of the image.
    joints=("right_eye", "left_eye", "nose", "right_mouth", "left_mouth"),
    mirrored=(1, 0, 2, 4, 3),
    regions=FACE_REGIONS,
    canvas=Canvas(192, 192),
    num_stages=6,
)


_NEVER = -10.0
"""Logit of a class without weights."""


def read_weights(path: Path, net: AnalyserNet, subject: Subject = PEOPLE) -> dict[str, str]:
    """Load weights into a network of a subject and return the file's header.

    Weights from before carried objects were a class give them no probability.

    Raises:
        ScmError: if the file is absent, damaged, or of another kind.
    """
    tensors, metadata = load_tensors(path)
    if metadata.get("kind") != subject.kind:
        raise ScmError(f"{path}: holds no {subject.name}; give the {subject.file} that '{subject.trained_by}' wrote")
    state = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    if net.carried and state["regions.weight"].shape[0] == len(subject.regions):
        weight, bias = state["regions.weight"], state["regions.bias"]
        state["regions.weight"] = torch.cat([weight, torch.zeros_like(weight[:1])])
        state["regions.bias"] = torch.cat([bias, bias.new_tensor([_NEVER])])
    # Batch counters are not used after training and not stored.
    counts = {key: value for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}
    load_strict(net, counts | state, str(path))
    return metadata
