"""Measure the memory tables of docs/speed.md.

``python docs/scripts/measure_memory.py drawing|training [HEIGHTxWIDTH ...]``

Each number is the peak of a process of its own, less what it holds after importing torch and this package.
"""

import sys

from scmnet_cli.bench.footprint import drawing_memory, training_speed
from scmnet_cli.bench.passes import Options
from scmnet_cli.config import load_config

CANVASES = ("256x176", "512x352", "1024x704")


def main() -> None:
    """Print a line for each size of network and canvas."""
    what, *canvases = sys.argv[1:]
    sizes = ("base", "small") if what == "drawing" else ("small",)
    for size in sizes:
        for canvas in canvases or CANVASES:
            height, width = canvas.split("x")
            model = [f"model.size={size}", f"model.height={height}", f"model.width={width}"]
            config = load_config("ccp", [*model, "train.batch=1", "data.cache=ram"])
            options = Options(threads=1)
            if what == "drawing":
                memory, rest = drawing_memory(config.model, options, 1), ""
            else:
                found = training_speed(config, options, steps=1, cpu_time=True)
                memory, rest = found.memory, f", {found.seconds_a_step:.1f} CPU s a step"
            line = f"{what} {size} {canvas}: {memory.imports:.0f} + {memory.peak - memory.imports:.0f} MB{rest}\n"
            sys.stdout.write(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
