"""The package as installed, and the command ``scm`` before any command of its own."""

from __future__ import annotations

import gc
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import typer

import scmnet_cli
from scmnet_cli.cli import main as cli
from scmnet_cli.cli.commands import Commands
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from conftest import Place

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def exit_code(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(list(arguments))
    return exit_.value.code


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Return a function that gives ``scm`` one command, which raises the given error."""

    def with_error(error: BaseException) -> None:
        app = typer.Typer(pretty_exceptions_enable=False)

        @app.callback()
        def options() -> None: ...

        @app.command()
        def fail() -> None:
            raise error

        monkeypatch.setattr(cli, "load_app", lambda _: app)

    return with_error


def imported(heavy: str, *arguments: str) -> str:
    """Run a command; return its output and the list of the heavy modules, separated by |, that it imported."""
    code = (
        "import sys; from scmnet_cli.cli.main import main\n"
        f"try: main({list(arguments)})\n"
        f"finally: print('heavy:', sorted(set(sys.modules) & set('{heavy}'.split('|'))))"
    )
    finished = run("-c", code)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_a_command_imports_no_other_command() -> None:
    others = "scmnet_cli.cli.train|scmnet_cli.cli.edit|scmnet_cli.cli.analyser|scmnet_cli.cli.app"
    for command in (["doctor", "--help"], ["-v", "doctor", "--help"]):
        assert "heavy: []" in imported(others, *command)


def test_help_lists_the_commands_and_imports_nothing_heavy():
    output = imported("pydantic|yaml|torch|torchvision|numpy|skimage|lpips|accelerate|tensorboard|scipy", "--help")
    assert "heavy: []" in output
    for name in ("preprocess", "train", "transfer", "poses", "edit", "inspect", "demo"):
        assert f" {name} " in output


def test_a_transfer_of_prepared_people_imports_only_what_drawing_needs(place: Place):
    heavy = "scipy|skimage|lpips|torchvision|accelerate|gradio|onnxruntime|tensorboard|matplotlib"
    assert "heavy: []" in imported(
        heavy, "transfer", "--src", "data/anna", "--pose", "walking", "-m", "run", "-o", "out"
    )
    assert list((place.path / "out").glob("*.png"))


def test_pythons_garbage_collector_runs_rarely_in_a_command():
    code = (
        "import gc; from scmnet_cli.cli.main import main\n"
        "try: main(['--version'])\n"
        "finally: print(gc.get_threshold()[0])"
    )
    assert run("-c", code).stdout.splitlines()[-1] == "20000"


def _named(group: Any, before: str = "") -> Iterator[str]:
    for name, command in getattr(group, "commands", {}).items():
        yield before + name
        yield from _named(command, f"{before}{name} ")


COMMANDS = list(_named(typer.main.get_command(cli.load_app())))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_help_is_shown(command: str, capsys: pytest.CaptureFixture[str]):
    assert exit_code(*command.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert "Usage: scm" in shown
    assert "\\b" not in shown, "an escape of the docstring"
    assert "'scmnet-cli'" not in shown, "an extra in brackets, taken for markup"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(shell: str):
    words = {"bash": "scm tra", "zsh": "scm tra", "fish": "scm tra"}[shell]
    about = {"_SCM_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "COMP_CWORD": "1",
             "_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}  # fmt: skip
    finished = subprocess.run(
        [sys.executable, "-m", "scmnet_cli"], capture_output=True, text=True, check=False, env=os.environ | about
    )
    assert {"train", "transfer"} <= set(re.findall(r"\w+", finished.stdout)), finished.stderr
    assert "weights" not in finished.stdout


def test_the_script_that_makes_a_shell_complete_is_shown():
    finished = subprocess.run(
        [sys.executable, "-m", "scmnet_cli", "--show-completion", "bash"],
        capture_output=True, text=True, check=False,
        env=os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    assert "_SCM_COMPLETE" in finished.stdout, finished.stderr


def test_python_dash_m_and_the_console_script_are_the_same_command():
    script = Path(sys.executable).parent / "scm"
    as_module = run("-m", "scmnet_cli", "--version")
    assert as_module.stdout == f"scm {scmnet_cli.__version__}\n"
    assert script.exists(), "install the package first: pip install -e '.[dev]'"
    assert run(str(script), "--version").stdout == as_module.stdout


def test_an_unknown_command_exits_with_2_and_names_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert exit_code("transfre") == 2
    assert "transfer" in capsys.readouterr().err


def test_a_users_mistake_is_one_line_on_stderr_and_exit_code_2(failing, capsys: pytest.CaptureFixture[str]):
    failing(ScmError("--src nobody:\n  is not in data/; known: a, b"))
    assert exit_code("fail") == 2
    output = capsys.readouterr()
    assert output.err == "scm: --src nobody: is not in data/; known: a, b\n"
    assert output.out == ""


def test_an_interruption_exits_with_130(failing):
    failing(KeyboardInterrupt())
    assert exit_code("fail") == 130


def test_a_bug_of_ours_is_not_swallowed(failing):
    failing(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli.main(["fail"])


@pytest.mark.parametrize(("options", "shown"), [([], ["warning"]), (["-v"], ["warning", "info"])])
def test_verbose_shows_what_is_done_on_stderr(
    options: list[str], shown: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    app = Commands(pretty_exceptions_enable=False)
    app.callback()(cli._options)

    @app.command()
    def work() -> None:
        logger = logging.getLogger("scmnet_cli.work")
        logger.warning("a warning")
        logger.info("an info")

    monkeypatch.setattr(cli, "load_app", lambda _: app)
    assert exit_code(*options, "work") == 0
    output = capsys.readouterr()
    assert [word for word in ("warning", "info") if f" {word}" in output.err] == shown
    assert output.out == ""
    logging.getLogger("scmnet_cli").setLevel(logging.NOTSET)


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_a_reader_that_has_left_is_no_error_message(argument: str):
    reader, writer = os.pipe()
    os.close(reader)
    finished = subprocess.run(
        [sys.executable, "-m", "scmnet_cli", argument], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert finished.stderr == ""


def test_the_citation_names_this_version():
    assert f"version: {scmnet_cli.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_readme_shows_the_main_job():
    assert {name for name, _ in _commands("README.md")} >= {"preprocess", "train", "transfer", "edit", "demo"}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_exists_with_its_options(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "200")
    for name, rest in _commands(page):
        below = [word for word in rest.split()[:1] if f"{name} {word}" in COMMANDS]
        assert exit_code(name, *below, "--help") == 0, name
        known = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
        for option in re.findall(r"(?<=\s)--?[a-z][\w-]*", rest):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", known), f"scm {name} {option}"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith("http")]
    broken = [link for link in links if link and not (ROOT / page).parent.joinpath(link).exists()]
    assert not broken


def test_the_index_names_every_page():
    docs = ROOT / "docs"
    index = (docs / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(docs).as_posix() for path in docs.rglob("*.md")]
    assert [page for page in pages if f"({page})" not in index] == ["README.md"]


def test_ci_runs_the_readmes_test_command():
    (setup,) = re.findall(r"^python3 -m venv .*nox.*$", _code(ROOT / "README.md"), flags=re.MULTILINE)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"grep -m1 -E '([^']+)' README.md", script)
    assert re.search(pattern, setup)


def _commands(page: str) -> list[tuple[str, str]]:
    """Return name and arguments of every ``scm`` command in the code blocks of a page."""
    found: list[tuple[str, str]] = re.findall(r"^(?:.*[ /])?scm (\w+)(.*)$", _code(ROOT / page), flags=re.MULTILINE)
    return found


def _code(page: Path) -> str:
    """Return the code blocks of a page, with continued lines joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return "\n".join(blocks).replace("\\\n", " ")


@pytest.mark.parametrize(("loaded", "frozen"), [(False, 1), (True, 0)], ids=["as ever", "triton is loaded"])
def test_what_triton_did_not_free_is_not_listed_at_the_end(
    loaded: bool, frozen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(gc, "freeze", lambda: calls.append(1))
    monkeypatch.setattr(cli, "sys", SimpleNamespace(modules={"triton": sys} if loaded else {}))
    cli._skip_last_search()
    assert len(calls) == frozen
