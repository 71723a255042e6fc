"""Region maps and joints computed elsewhere combine with what the analyser finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_estimators import Sees

from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_label_map, save_png
from scmnet_cli.preprocess.photos import PhotoSource
from scmnet_cli.regions import LABEL_SETS, region_id
from scmnet_cli.sources.folder import FolderSource


@pytest.fixture
def annotated(tmp_path: Path, drawn_source: Path) -> Path:
    """Write three photos, with LIP region maps and a table of joints in other folders."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "maps").mkdir()
    first = {region: LABEL_SETS["lip20"].index(region) for region in LABEL_SETS["regions"]}
    lip = np.array([first[region] for region in LABEL_SETS["regions"]], np.uint8)
    for name in ("drawn_0001", "drawn_0002", "drawn_0003"):
        (tmp_path / "photos" / f"{name}.png").write_bytes((drawn_source / f"{name}.png").read_bytes())
        save_png(tmp_path / "maps" / f"{name}.png", lip[read_label_map(drawn_source / "regions" / f"{name}.png")])
    (tmp_path / "table.csv").write_bytes((drawn_source / "joints.csv").read_bytes())
    return tmp_path


def test_region_maps_of_another_parser_combine_with_detected_joints(annotated: Path, drawn_source: Path) -> None:
    source = PhotoSource(annotated / "photos", Sees(), maps=annotated / "maps", labels="lip20")
    person = source.read("drawn_0001")
    assert np.array_equal(person.regions, read_label_map(drawn_source / "regions" / "drawn_0001.png"))
    assert len(np.unique(person.joints, axis=0)) == 1
    assert source.parser == "maps of the folder maps, labels lip20"
    assert source.pose_estimator.startswith("built-in analyser")
    before = source.stamp("drawn_0001")
    save_png(annotated / "maps" / "drawn_0001.png", np.full((5, 5), 3, np.uint8))
    assert source.stamp("drawn_0001") != before
    with pytest.raises(ScmError, match=r"is 5x5, the photo is 320x224"):
        source.read("drawn_0001")


def test_joints_of_another_estimator_combine_with_detected_regions(annotated: Path, drawn_source: Path) -> None:
    source = PhotoSource(annotated / "photos", Sees(), joints=annotated / "table.csv")
    person = source.read("drawn_0002")
    assert np.array_equal(person.joints, FolderSource(drawn_source).read("drawn_0002").joints)
    assert (person.regions == region_id("pants")).all()
    assert source.pose_estimator == "the table table.csv"
    before = source.stamp("drawn_0002"), source.stamp("drawn_0003")
    lines = (annotated / "table.csv").read_text().splitlines()
    (annotated / "table.csv").write_text("\n".join(line for line in lines if "drawn_0003" not in line))
    other = PhotoSource(annotated / "photos", Sees(), joints=annotated / "table.csv")
    assert other.stamp("drawn_0002") == before[0]
    assert other.stamp("drawn_0003") != before[1]
    with pytest.raises(ScmError, match="no row 'drawn_0003"):
        other.read("drawn_0003")


def test_unreadable_third_party_files_are_reported_before_anything_is_written(annotated: Path) -> None:
    photos, maps, table = annotated / "photos", annotated / "maps", annotated / "table.csv"
    for given, said in (
        ({"maps": maps, "joints": table}, "use --layout folder"),
        ({"labels": "lip20"}, "needs --maps, the folder of the label maps"),
        ({"maps": annotated / "nowhere"}, "no such folder"),
        ({"maps": maps, "labels": "lip"}, "--labels lip: is not one of"),
    ):
        with pytest.raises(ScmError, match=said):
            PhotoSource(photos, Sees(), **given)  # type: ignore[arg-type]
