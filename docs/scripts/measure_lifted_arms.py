"""Measure the analyser on lifted arms: ``python docs/scripts/measure_lifted_arms.py CCP [NUM] [WEIGHTS]``.

The val people of Clothing Co-Parsing are drawn with turned arms by the part warp, on other backgrounds; no photo of
them was used in training. Joints and regions move with the pixels. Prints the shares of elbows and wrists within 0.05
of the person's height, and the IoU of the region arms.
"""

import sys
from pathlib import Path

import numpy as np

from scmnet_cli.analyser.evaluation.people import THINGS, usable
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.analyser.training.photos import textures
from scmnet_cli.analyser.training.reposed_people import reposed_people
from scmnet_cli.analyser.training.views import UNKNOWN, training_photo
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.ccp import CcpSource

NEAR = 0.05

source = CcpSource(Path(sys.argv[1]))
num = int(sys.argv[2]) if len(sys.argv) > 2 else 60
analyser = Analyser.load(Path(sys.argv[3]) if len(sys.argv) > 3 else None)
people = [training_photo(person.image, person.regions, person.joints) for person in usable(source, val=True)]
found = {name: [0, 0] for name in ("elbow", "wrist")}
shared = united = 0
for photo in reposed_people(people, textures(THINGS), num, seed=7):
    result = analyser(photo.levels[0])
    known = photo.joints[:, 2] > 0
    height = np.ptp(photo.joints[known, 1])
    for name, counts in found.items():
        for side in ("right", "left"):
            joint = JOINTS.index(f"{side}_{name}")
            if known[joint]:
                distance = np.hypot(*(result.joints[joint, :2] - photo.joints[joint, :2]))
                counts[0] += bool(result.joints[joint, 2] > 0 and distance <= NEAR * height)
                counts[1] += 1
    labels = np.asarray(photo.labels)
    truth, answer = labels == region_id("arms"), (result.regions == region_id("arms")) & (labels != UNKNOWN)
    shared += int((truth & answer).sum())
    united += int((truth | answer).sum())
for name, (near, all_of_them) in found.items():
    sys.stdout.write(f"{name}s within {NEAR}: {near / max(1, all_of_them):.1%} of {all_of_them}\n")
sys.stdout.write(f"IoU of arms: {shared / max(1, united):.3f}\n")
