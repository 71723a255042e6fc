"""Write the shipped poses anew from the joints of Clothing Co-Parsing: ``python docs/scripts/write_poses.py CCP``.

Each pose was looked at over its photo; joints that sit wrongly there are left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from scmnet_cli.poses.files import save_pose
from scmnet_cli.poses.library import shipped_folder
from scmnet_cli.poses.placing import place
from scmnet_cli.skeleton import JOINTS, MIRRORED
from scmnet_cli.sources.keypoints import read_keypoint_table
from scmnet_cli.types import Canvas, Pose

CANVAS = Canvas(256, 176)


POSES = {
    "front": ("facing the camera, arms down", "0824"),
    "back": ("from behind, arms down", "0824"),
    "feet-apart": ("facing the camera, feet apart, arms down", "0789"),
    "hands-in-pockets": ("facing the camera, both hands at the pockets", "0046"),
    "hands-on-hips": ("facing the camera, both hands on the hips, feet apart", "0266"),
    "hand-on-hip": ("facing the camera, left hand on the hip", "0440"),
    "hands-clasped": ("facing the camera, hands together before the body", "0676"),
    "hands-at-head": ("facing the camera, both hands at the head, legs crossed", "1138"),
    "hand-behind-head": ("facing the camera, left hand behind the head", "0949"),
    "arms-open": ("facing the camera, both arms held away from the body", "0636"),
    "waving": ("stepping, left hand held out to the side", "0774"),
    "looking-aside": ("body to the camera, head turned to the picture's left", "0929"),
    "three-quarter": ("turned towards the picture's right, a small step, arms down", "0679"),
    "side": ("from the side, facing the picture's left, hands at the waist", "0693"),
    "walking": ("walking towards the camera", "0754"),
    "catwalk": ("walking towards the camera, one foot before the other", "0293"),
    "walking-side": ("walking to the picture's right, seen from the side", "0560"),
    "striding": ("a long step to the picture's left, right hand at the head", "1046"),
    "leg-back": ("turned towards the picture's left, left foot off the ground behind", "0882"),
    "leaning": ("leaning with the legs aslant", "0209"),
    "legs-crossed": ("standing with crossed legs, arms down", "0886"),
    "leg-raised": ("on the left leg, right foot raised behind, right hand in the hair", "0371"),
    "perched": ("half sitting, right leg forward, arms down", "1036"),
    "crouching": ("turned to the picture's left with bent knees, arms crossed", "1192"),
    "close": ("close to the camera, head to hips", "0536"),
}
LEFT_OUT = {"close": ("right_knee", "left_knee"), "back": ("nose", "right_eye", "left_eye")}


def main(ccp: Path) -> None:
    """Write every pose."""
    table = read_keypoint_table(ccp / "keypoints.csv")
    for name, (description, photo) in POSES.items():
        with Image.open(ccp / "photos" / f"{photo}.jpg") as image:
            frame = Canvas(image.height, image.width)
        joints, source = table.find(f"{photo}.jpg").copy(), f"Clothing Co-Parsing photo {photo}"
        if name == "back":
            # Seen from behind, the same outline has left and right exchanged, and no face.
            joints, source = joints[list(MIRRORED)], f"{source}, left and right exchanged, without nose and eyes"
        joints[[JOINTS.index(joint) for joint in LEFT_OUT.get(name, ())]] = 0
        placed = place(Pose(name, joints, frame), CANVAS)
        rounded = Pose(name, placed.joints.round(1), CANVAS)
        save_pose(shipped_folder() / f"{name}.json", rounded, description, source)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
