"""``scm edit``: replace regions of people by those of others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer

from scmnet_cli.cli.commands import with_help
from scmnet_cli.cli.completion import complete_poses, complete_references, complete_regions
from scmnet_cli.cli.drawing.same_person import PersonOptions
from scmnet_cli.cli.estimators import EstimatorOptions
from scmnet_cli.cli.face_parser import FaceParserFile, load_face_parser
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.interrupts import NOTHING_DRAWN, stops_with
from scmnet_cli.cli.options import InputOptions, PhotoOptions, Sources, WardrobeFile
from scmnet_cli.errors import ScmError


@dataclass(frozen=True)
class EditOptions:
    """Regions to replace and their references."""

    regions: Annotated[
        list[str],
        typer.Option(
            "--region",
            metavar="REGION",
            autocompletion=complete_regions,
            help="Region to replace: upper, pants, skirt, dress, hair, face, arms or legs, or words such as jacket and "
            "trousers; with a face model skin, hair, brows, eyes, nose, mouth, cloth or background; repeatable.",
        ),
    ]
    references: Annotated[
        list[str],
        typer.Option(
            "--ref",
            metavar="B",
            autocompletion=complete_references,
            help="Reference to take it from: a person as in --src, wardrobe:NAME (`scm wardrobe` lists them), or "
            "flat:PHOTO for a flat garment; one for each --region, in order.",
        ),
    ]
    wardrobe_file: WardrobeFile = None
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Edit even if the photo does not show where the garment goes, or shows another side than the "
            "reference. The result may look wrong.",
        ),
    ] = False


_HELP = """Draw the person of A with regions of B, in A's own pose.

Writes OUT/A_REGION-from-B.png and a JSON of the same name, and prints
the path, as `scm transfer` does. Adding a skirt removes pants, and
adding pants removes a skirt, unless both are given.

\b
Examples:
  scm edit --src data/ccp/0010 --region upper --ref data/ccp/0020
  scm edit --src me.jpg --region upper --ref friend.jpg --keep-size
  scm edit --src me.jpg --region trousers --ref wardrobe:jungle-print-trousers
  scm edit --src me.jpg --region upper --ref flat:tee-on-my-bed.jpg
  scm edit --data data/ccp --src 0010 --region pants --ref 0020 \\
           --region hair --ref 0030 --strip -m runs/ccp
  scm edit --data data/faces --src ann --region mouth --ref eve -m runs/faces
  scm edit --src me.jpg --region hair --ref friend.jpg -m runs/faces \\
           --face-parser research/face-parser.safetensors --keep-size
"""


@grouped
@with_help(_HELP)
def edit(
    sources: Sources,
    edits: EditOptions,
    drawing: PhotoOptions,
    inputs: InputOptions,
    estimators: EstimatorOptions,
    person: PersonOptions,
    pose: Annotated[
        str | None,
        typer.Option(
            "--pose",
            metavar="P",
            autocompletion=complete_poses,
            help="Draw in this pose instead of A's own; as for `scm transfer`.",
        ),
    ] = None,
    strip: Annotated[
        bool, typer.Option("--strip", help="Also write a strip: source, references, pose, result.")
    ] = False,
    face_parser: FaceParserFile = None,
) -> None:
    """Draw the person of A with regions of B, in A's own pose."""
    from scmnet_cli.cli.drawing.setup import set_up
    from scmnet_cli.cli.drawing.task import Task
    from scmnet_cli.inference.garments import kind_of
    from scmnet_cli.inference.inputs.framed_face import AROUND_FACE

    regions, references = [kind_of(region) for region in edits.regions], edits.references
    _check_regions(regions, references)
    if inputs.mirror and pose is None:
        raise ScmError("--mirror: mirrors the pose of --pose; give --pose too")
    if person.same_person:
        raise ScmError("--same-person: an edit changes one photo; edit each photo with its own command")
    further = {**estimators.given, "force": edits.force, "face_parser": face_parser, **person.changing}
    with stops_with(NOTHING_DRAWN):
        finder, renderer = set_up(drawing, inputs, further, strip=strip, personalizer=person.personalizer())
        finder.use_analyser(estimators.analyser)
        finder.use_face_parser(partial(load_face_parser, face_parser))
        if pose is None:
            finder.keep_faces_large(wide=drawing.keep_size and not AROUND_FACE.isdisjoint(regions))
        for region in regions:
            if not renderer.edits_photos:
                finder.domain.region_id(region)
        taken = {
            region: renderer.reference(reference, region, finder, edits.wardrobe_file)
            for region, reference in zip(regions, references, strict=True)
        }
        poses = None if pose is None else finder.poses([pose], "--pose")
        renderer.draw(Task(finder.people(sources, "--src"), poses, taken, force=edits.force))


def _check_regions(regions: list[str], references: list[str]) -> None:
    from scmnet_cli.inference.garments import KINDS
    from scmnet_cli.regions import BODY_REGIONS, FACE_REGIONS, region_id

    if len(regions) != len(references):
        raise ScmError(
            f"--region is given {len(regions)} times and --ref {len(references)} times; give one --ref per --region"
        )
    for region in regions:
        if region not in KINDS:
            region_id(region, list(dict.fromkeys([*BODY_REGIONS, "dress", *FACE_REGIONS])))
        if regions.count(region) > 1:
            raise ScmError(f"--region {region}: is given twice; a region can come from one reference only")
