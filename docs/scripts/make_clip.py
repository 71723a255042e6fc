"""Make a clip of one photo as a moving camera would see it, to measure how steady `scm transfer --pose` is.

python docs/scripts/make_clip.py PHOTO CLIP.mp4 [FRAMES]
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from scmnet_cli.images import read_photo
from scmnet_cli.inference.video_files import ClipWriter

SIZE = (480, 640)
GREY = (127, 127, 127)
NOISE = 6


def main(photo_path: Path, clip: Path, num_frames: int = 75) -> None:
    """Turn, shift and scale the photo smoothly, with new noise in each frame."""
    photo = Image.fromarray(read_photo(photo_path))
    random = np.random.default_rng(0)
    writer = ClipWriter(clip, Fraction(25), {"Comment": "a photo, moved"})
    for number in range(num_frames):
        phase = 2 * np.pi * number / 75
        shift = (60 * np.sin(phase * 0.5), 15 * np.cos(phase))
        moved = photo.rotate(6 * np.sin(phase), Image.Resampling.BICUBIC, translate=shift, fillcolor=GREY)
        height = SIZE[1] * (1 + 0.1 * np.sin(phase * 0.7))
        moved = moved.resize((int(photo.width * height / photo.height), int(height)))
        frame = Image.new("RGB", SIZE, GREY)
        frame.paste(moved, ((SIZE[0] - moved.width) // 2, (SIZE[1] - moved.height) // 2))
        noisy = np.asarray(frame, np.float64) + random.normal(0, NOISE, (SIZE[1], SIZE[0], 3))
        writer.write(noisy.clip(0, 255).astype(np.uint8))
    writer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:4]))
