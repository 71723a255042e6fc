"""The checks. All sessions share the environment that nox was started from: an environment with torch is 6 GB."""

import os
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "imports", "tests", "build", "demo"]

PYTHON = sys.executable
# The tests' tensors are tiny: a second thread gains nothing, and on a busy machine threads wait for each other.
ONE_THREAD = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
# A file's tests share what they set up, a browser for instance, and so a process.
SIDE_BY_SIDE = ("-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile")
CHECK_WHEEL = """
import sys
from pathlib import Path
import scmnet_cli
from scmnet_cli.config import config_folder, load_config, shipped_configs
from scmnet_cli.poses.library import shipped_folder, shipped_poses
folder = Path(sys.argv[1]).resolve()
for path in (Path(scmnet_cli.__file__), config_folder(), shipped_folder()):
    assert path.resolve().is_relative_to(folder), f"{path} is not in the installed wheel {folder}"
names = shipped_configs()
assert "smoke" in names, names
for name in names:
    load_config(name)
assert "walking" in shipped_poses(), shipped_folder()
print("the wheel finds", *names, "and", len(shipped_poses()), "poses")
"""


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    session.run(PYTHON, "-m", "ruff", "check")
    session.run(PYTHON, "-m", "ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict."""
    session.run(PYTHON, "-m", "mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """Import-linter: the arrows between our modules."""
    session.run(PYTHON, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")


@nox.session
def tests(session: nox.Session) -> None:
    """The fast suite, under 10 minutes on 2 cores."""
    session.run(PYTHON, "-m", "pytest", *SIDE_BY_SIDE, *session.posargs, env=ONE_THREAD)


@nox.session
def slow(session: nox.Session) -> None:
    """The tests that take longer than 5 seconds each."""
    session.run(PYTHON, "-m", "pytest", "-m", "slow", *session.posargs, env=ONE_THREAD)


@nox.session
def build(session: nox.Session) -> None:
    """The wheel is built, installed elsewhere, finds its configs there and runs."""
    folder = Path(session.create_tmp()).resolve()
    session.run(PYTHON, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"))
    (wheel,) = (folder / "dist").glob("*.whl")
    installed = folder / "installed"
    session.run(PYTHON, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", str(installed), str(wheel))
    env = {"PYTHONPATH": str(installed)}
    with session.chdir(folder):
        session.run(PYTHON, "-c", CHECK_WHEEL, str(installed), env=env)
        session.run(PYTHON, "-m", "scmnet_cli", "--help", env=env)
        session.run(str(installed / "bin" / "scm"), "train", "--help", env=env, silent=True)


@nox.session
def demo(session: nox.Session) -> None:
    """The main job in miniature, on drawn people."""
    session.run(PYTHON, "-m", "scmnet_cli", "demo", "--train", "-o", str(Path(session.create_tmp()) / "demo"))


@nox.session
def docs(session: nox.Session) -> None:
    """Write docs/config.md anew from the typed config."""
    session.run(PYTHON, "docs/scripts/write_config.py")
