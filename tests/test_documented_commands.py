"""Every command in README and docs parses as written, and a test runs it or a reason is given here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from scmnet_cli.cli.main import load_app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

NOT_RUN = {
    "pip": "needs a package registry",
    "python3": "the README's own set-up: .ci/run runs it",
    ".": "activates an environment",
    "cd": "not ours",
    "nox": "runs the tests themselves; .ci/run calls it",
    "pytest": "runs the tests themselves",
    "torchrun": "starts several processes: the tests of ranks do so by themselves (test_ranks.py, test_training.py)",
    "sbatch": "needs a cluster",
    "srun": "needs a cluster",
    "ssh": "needs another machine",
    "rsync": "needs another machine",
    "git": "not ours",
    "unzip": "not ours",
    "export": "sets a variable",
    "python": "scripts that measure for minutes to hours; that they exist is tested below",
}
"""Programs of the pages that no test runs, and why."""

RUN_ELSEWHERE = {
    "--install-completion": "writes into the user's shell; --show-completion is run (test_package.py)",
    "analyser": "train and eval are run by their functions (test_analyser.py); the commands only hand over options",
    "app": "serves until it is stopped: run in a browser (test_app_page.py)",
}
"""Commands of ``scm`` that no test gives as a command, and what stands for it."""

SHORTENED = re.compile(r"\.\.\.|…|\[")
"""Marks of a form to be filled in, no command."""


def lines(page: Path, kinds: tuple[str, ...] = ("", "sh", "bash", "console")) -> list[str]:
    """Return the commands in the code blocks of a page, one per line, with continued lines joined.

    In a ``console`` block commands follow ``$``; the other lines are their output.
    """
    text = page.read_text(encoding="utf-8")
    blocks = [
        (kind, "\n".join(re.findall(r"^\$ .*", block, flags=re.MULTILINE)) if kind == "console" else block)
        for kind, block in re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    ]
    shell = "\n".join(block for kind, block in blocks if kind in kinds)
    joined = shell.replace("\\\n", " ")
    return [line.strip().removeprefix("$ ") for line in joined.splitlines() if line.strip()]


def prose(page: Path) -> list[str]:
    """Return the commands in backticks within the text of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", text)]


def words(line: str) -> list[str]:
    """Return a command without prefixes and suffixes on its line."""
    command = re.split(r"\s[|>&;#]+\s?|;\s|\)$", line)[0]
    found = shlex.split(command)
    while found and re.fullmatch(r"\w+=\S*", found[0]):
        found = found[1:]
    return found


def ours(line: str) -> list[list[str]]:
    """Return the arguments of each ``scm`` on a line, however it is started."""
    parts = re.split(r"\s+(?:&&|;|\|)\s+", line)
    calls = [re.sub(r"^.*\btorchrun .*? -m scmnet_cli ", "scm ", part) for part in parts]
    calls = [re.sub(r"^(?:.*\$\()?(?:\w+=\S* )*(?:\S*/)?scm(?= |$)", "scm", call) for call in calls]
    return [words(call)[1:] for call in calls if re.match(r"scm ", call) and not SHORTENED.search(call)]


COMMANDS = [
    pytest.param(arguments, id=f"{page.name}: {' '.join(arguments)}"[:110])
    for page in PAGES
    for line in lines(page)
    for arguments in ours(line)
]


def test_the_pages_contain_commands():
    assert len(COMMANDS) > 60


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_named_in_the_text_of_a_page_exists_with_its_options(page: Path):
    for text in prose(page):
        for name, *rest in ours(text):
            known = typer.main.get_command(load_app())
            while hasattr(known, "commands") and not name.startswith(("-", "COMMAND")):
                assert name in known.commands, f"{page.name}: {text}"
                known, name = known.commands[name], next(iter(rest), "--help")
            options = {option for it in known.params for option in (*it.opts, *it.secondary_opts)} | {"-h", "--help"}
            strange = {word for word in rest if re.fullmatch(r"--?[a-z][\w-]*", word)} - options
            assert not strange, f"{page.name}: {text}"


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_documented_command_parses_with_its_options_and_values(arguments: list[str]):
    parser, context, name = typer.main.get_command(load_app()), None, "scm"
    while True:
        context = parser.make_context(name, list(arguments), parent=context)
        if not hasattr(parser, "commands"):
            return
        if any(option in RUN_ELSEWHERE for option in arguments):
            return
        if not (context._protected_args or context.args):
            assert parser.invoke_without_command
            return
        name, *arguments = [*context._protected_args, *context.args]
        parser = parser.commands[name]


def test_every_documented_command_of_scm_is_run_by_a_test_or_has_a_reason_why_not():
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)
    )
    names = {next((word for word in param.values[0] if not word.startswith("-v")), "") for param in COMMANDS}
    not_run = {
        name for name in names
        if name and name not in RUN_ELSEWHERE and not re.search(rf"""["'(\[]{re.escape(name)}["']\s*[,)\]]""", tests)
    }  # fmt: skip
    assert not not_run


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_other_documented_program_has_a_reason_why_it_is_not_run(page: Path):
    for line in lines(page, ("sh", "bash", "console")):
        if re.match(r"(\w+=\S* )*(\S*/)?scm( |$)|\w+=\$\(", line) or line.startswith(("#", "-")):
            continue
        program = Path((words(line) or [""])[0]).name
        if re.fullmatch(r"[a-z][\w.-]*", program):
            assert program in NOT_RUN, f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_documented_script_exists(page: Path):
    for script in re.findall(r"python (docs/scripts/\w+\.py)", page.read_text(encoding="utf-8")):
        assert (ROOT / script).is_file(), script
