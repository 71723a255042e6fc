"""Measure the analyser on people from behind: ``python docs/scripts/measure_back_views.py MARKET [NUM] [WEIGHTS]``.

MARKET is a folder of Market-1501 photos with its keypoint file. A photo is from behind if its annotation has neither
nose nor eyes and the right shoulder on the right, and from the front if it has all three and the right shoulder on the
left; side views are neither. Prints for NUM of either kind how many are found, and how many of those the analyser takes
for what they are: without a face and with the sides of a back view, or the contrary. No photo of them is used in
training.
"""

import sys
from pathlib import Path

import numpy as np

from scmnet_cli.analyser.people import Analyser
from scmnet_cli.images import read_photo
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.keypoints import read_keypoint_file

FACE = [JOINTS.index(name) for name in ("nose", "right_eye", "left_eye")]
RIGHT, LEFT = JOINTS.index("right_shoulder"), JOINTS.index("left_shoulder")
APART = 4  # pixels of a photo 64 pixels wide

root = Path(sys.argv[1])
num = int(sys.argv[2]) if len(sys.argv) > 2 else 60
analyser = Analyser.load(Path(sys.argv[3]) if len(sys.argv) > 3 else None)
kinds: dict[str, list[str]] = {"from behind": [], "from the front": []}
for name, joints in read_keypoint_file(root / "market-annotation-train.csv").items():
    known, across = joints[:, 2] > 0, joints[RIGHT, 0] - joints[LEFT, 0]
    if known[[RIGHT, LEFT]].all():
        if not known[FACE].any() and across > APART:
            kinds["from behind"].append(name)
        elif known[FACE].all() and across < -APART:
            kinds["from the front"].append(name)
random = np.random.default_rng(0)
for kind, names in kinds.items():
    found = no_face = back = 0
    for index in random.permutation(len(names))[:num]:
        result = analyser(read_photo(root / "images" / names[index]))
        if result.has_person:
            found += 1
            no_face += not (result.joints[FACE, 2] > 0).any()
            back += result.joints[RIGHT, 0] > result.joints[LEFT, 0]
    sys.stdout.write(
        f"{kind}: {found} of {num} found, {no_face} without a face, {back} with the sides of a back view\n"
    )
