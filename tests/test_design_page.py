"""docs/design.md: its table leads from the paper to files and functions that exist, and its sections can be cited."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "scmnet_cli"
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def rows(section: str) -> list[list[str]]:
    """Return the cells of the rows of a section's table, without its head."""
    (text,) = re.findall(rf"^## {re.escape(section)}$(.*?)(?=^## |\Z)", DESIGN, flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


PAPER = rows("9. Paper to code")


@pytest.mark.parametrize(
    "item",
    [*(f"Eq. {n}" for n in range(1, 10)), *(f"Figure {n}" for n in range(1, 13)), "Table 1", "Table 2"],
)
def test_every_equation_figure_and_table_of_the_paper_has_a_row(item: str):
    assert [row[0] for row in PAPER if re.match(rf"{item}(?!\d)", row[0])]


@pytest.mark.parametrize("row", PAPER, ids=lambda row: row[0])
def test_every_row_names_files_and_functions_that_exist(row: list[str]):
    _, files, functions = row
    paths = [PACKAGE / name for name in re.findall(r"`([^`]+)`", files)]
    assert paths
    code = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    names = [name for name in re.findall(r"`([^`]+)`", functions) if not name.startswith("scm ")]
    assert names
    assert [name for name in names if not re.search(rf"^\s*(?:def|class) {name}\b", code, flags=re.MULTILINE)] == []


def test_every_room_of_the_package_has_a_row():
    listed = {name for row in rows("8. Rooms") for name in re.findall(r"`([^`]+)`", row[0])}
    rooms = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")} - {"pipeline/"}  # an old import path
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py", "pipeline.py"}
    assert listed == rooms | modules


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
    return plain.strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_anchor_of_a_page_leads_to_a_heading(page: Path):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target, wanted in re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        other = (page.parent / target) if target else page
        headings = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert wanted in {anchor(heading) for heading in headings}, f"{target}#{wanted}"


def test_every_section_that_code_cites_is_on_the_page():
    sections = set(re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", DESIGN, flags=re.MULTILINE))
    sources = [path for folder in ("scmnet_cli", "tests", "configs") for path in (ROOT / folder).rglob("*.*")]
    texts = [path.read_text(encoding="utf-8") for path in sources if path.suffix in (".py", ".yaml")]
    cited = {number for text in texts for number in re.findall(r"docs/design\.md, section (\d+(?:\.\d+)?)", text)}
    assert cited <= sections


def test_no_code_cites_pages_outside_the_repository():
    for path in (path for folder in ("scmnet_cli", "configs") for path in (ROOT / folder).rglob("*.*")):
        if path.suffix in (".py", ".yaml"):
            assert not re.search(r"\bDESIGN\b|STYLE\.md|LAYOUT\.md", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_code_path_named_on_a_page_exists(page: Path):
    for name in re.findall(r"`(scmnet_cli/[\w/]+\.\w+|tests/\w+\.py|configs/\w+\.yaml)`", page.read_text("utf-8")):
        assert (ROOT / name).is_file(), name
    for module in re.findall(r"from (scmnet_cli[\w.]*) import", page.read_text("utf-8")):
        path = ROOT.joinpath(*module.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), module
