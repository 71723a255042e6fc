"""The ten parts of a body and its limbs, as numbers of parts and joints; importing this imports no torch."""

from __future__ import annotations

PARTS = (
    "torso", "head", "right upper arm", "right forearm", "left upper arm", "left forearm",
    "right thigh", "right shin", "left thigh", "left shin",
)  # fmt: skip
"""Names of the ten parts; forearms include hands, shins include feet."""
TORSO_PART, HEAD_PART, FIRST_BONE = 0, 1, 2
"""Indices of the torso, the head and the first of the eight bones among the parts."""

NOSE, NECK, RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP = 0, 1, 2, 5, 8, 11
FACE_JOINTS = (NOSE, 14, 15)
"""Nose and eyes: the joints that a head seen from behind does not show."""
HEAD_JOINTS = (*FACE_JOINTS, 16, 17)
TORSO_JOINTS = (NECK, RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP)
LIMBS = ((2, 3, 4), (5, 6, 7), (8, 9, 10), (11, 12, 13))
"""Joints of each limb from the body outwards: shoulder, elbow, wrist or hip, knee, ankle."""
BONE_STARTS = [joint for start, middle, _ in LIMBS for joint in (start, middle)]
BONE_ENDS = [joint for _, middle, end in LIMBS for joint in (middle, end)]
LIMB_PARTS = ((2, 3), (4, 5), (6, 7), (8, 9))
"""Parts of right and left arm and of right and left leg: in this order are all limbs."""
BONE_PARTS, ARM_PARTS = (2, 3, 4, 5, 6, 7, 8, 9), (2, 3, 4, 5)
"""Parts around a bone, which end where another part begins; the first four are those of the arms."""
UPPER_ARMS, FOREARMS, THIGHS = (2, 4), (3, 5), (6, 8)
"""Parts, right and left."""
