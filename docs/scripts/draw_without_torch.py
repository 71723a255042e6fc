"""Draw people without torch: ``python docs/scripts/draw_without_torch.py EXPORTED PREPARED POSE...``.

EXPORTED is a folder of ``scm export``; all val people of the prepared folder are drawn in shipped poses. To import
torch, SciPy or scikit-image is an error here. Prints the number of pictures and the CPU seconds of each.
"""

import sys
import time
from pathlib import Path

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.inference.exports.exported import ExportedModel
from scmnet_cli.poses.library import shipped_poses
from scmnet_cli.types import Pose


def main() -> None:
    """Draw them."""
    sys.modules |= dict.fromkeys(["torch", "scipy", "skimage"])
    model, folder = ExportedModel.from_exported(Path(sys.argv[1])), PreparedFolder(Path(sys.argv[2]))
    entries = [shipped_poses()[name][1] for name in sys.argv[3:]]
    poses = [Pose(entry.name, entry.person(), entry.canvas or model.canvas) for entry in entries]
    start, num = time.process_time(), 0
    for name in folder.names("val"):
        num += len(list(model.transfer_many(folder.load(name), poses, size=model.canvas)))
    sys.stdout.write(f"{num} pictures, {(time.process_time() - start) / num:.3f} CPU s each\n")


if __name__ == "__main__":
    main()
