"""The loop that ``scm transfer`` and ``scm edit`` share: every source, as it is or edited, in every pose."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scmnet_cli.cli.console import is_quiet
from scmnet_cli.cli.drawing.input import Input
from scmnet_cli.cli.drawing.inputs import Finder
from scmnet_cli.cli.drawing.opening import find_inputs, open_model, read_output_size
from scmnet_cli.cli.drawing.outputs import Outputs, safe_name
from scmnet_cli.cli.options import DrawingOptions, InputOptions, PhotoOptions, Runtime
from scmnet_cli.data.dataset import resized
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.domains import DOMAINS
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.one_result import TransferMetrics
from scmnet_cli.images import ANIMATED, PLAIN_GREY, contact_sheet
from scmnet_cli.inference.flat_garments import PREFIX as FLAT
from scmnet_cli.inference.flat_garments import read_flat_garment
from scmnet_cli.inference.inputs.framed import Framed
from scmnet_cli.inference.inputs.sketches import Drawing
from scmnet_cli.inference.opening import open_wardrobe
from scmnet_cli.inference.pipeline import EncodedSource, Pipeline, Result
from scmnet_cli.inference.wardrobe import PREFIX, SHIPPED_WARDROBE, Wardrobe
from scmnet_cli.system.processes import Rank, Team, this_rank
from scmnet_cli.types import Canvas, Person, Pose, UInt8Array

_POSES_KEPT = 256
_FEWEST_FRAMES = 2
_FRAMES_KEPT = 4


@dataclass(frozen=True)
class Reference:
    """Whom or what a region is taken from: somebody's, or a garment of a wardrobe.

    Attributes:
        name: for file names and messages.
        where: the file it comes from.
        encode: reads and encodes it; raises ScmError if it cannot.
    """

    name: str
    where: str
    encode: Callable[[], EncodedSource]


@dataclass(frozen=True)
class Task:
    """Sources, poses and references of one command.

    Attributes:
        sources: who is drawn.
        poses: in which poses; None: each source in its own.
        references: for each region to exchange, whom it is taken from.
        colours: whether edges are coloured: files and reports name them first, and the source as their reference.
        force: edit photos that do not show where a garment goes, or show another side than the reference.
    """

    sources: list[Input]
    poses: list[Input] | None
    references: dict[str, Reference]
    colours: bool = False
    force: bool = False

    def __len__(self) -> int:
        return len(self.sources) * (1 if self.poses is None else len(self.poses))


Teach = Callable[[Pipeline, Sequence[Person]], Pipeline]
"""Returns a model that was taught the person of some photos."""


class Artist:
    """Draws tasks; an unusable input is reported in one line, and the others are drawn."""

    def __init__(
        self,
        pipeline: Pipeline,
        outputs: Outputs,
        *,
        batch: int,
        strip: bool,
        keep_size: bool = False,
        size: Canvas | None = None,
        teach: Teach | None = None,
    ) -> None:
        self._team = Team(this_rank())
        self._pipeline = pipeline
        self._outputs = outputs
        self._batch = batch
        self._strip = strip
        self._keep_size = keep_size
        self._size = size
        self._teach = teach
        self._framed = lru_cache(_FRAMES_KEPT)(_read_framed)
        self._metrics = TransferMetrics()
        self._unusable: dict[str, str] = {}  # by where it is: the line that reports it
        self._pose = lru_cache(_POSES_KEPT)(self._read_pose)

    @property
    def edits_photos(self) -> bool:
        """Whether edits change the photo itself, by kinds of garments, as models with a part warp do."""
        return self._pipeline.config.model.part_warp

    def reference(self, word: str, kind: str, finder: Finder, closet: Path | None) -> Reference:
        """Find what ``--ref`` names: a person; after ``wardrobe:`` a garment; after ``flat:`` a photo of one that lies.

        Args:
            word: what was given.
            kind: the region or garment that is taken from it.
            finder: finds people.
            closet: the wardrobe file; None: the one that ships.

        Raises:
            ScmError: if the word names nothing, there is no such wardrobe, or the photo shows no garment.
        """
        if word.startswith(FLAT):
            path = Path(word.removeprefix(FLAT))
            name = path.stem
            garment = read_flat_garment(path, kind, name, open_wardrobe(None))
            return Reference(name, str(path), partial(Wardrobe([garment]).reference, name, self._pipeline))
        if not word.startswith(PREFIX):
            given = finder.reference(word, "--ref")
            return Reference(given.name, given.where, partial(self._encode, given))
        name = word.removeprefix(PREFIX)
        wardrobe = open_wardrobe(closet)
        where = f"{closet or SHIPPED_WARDROBE}#{name}"
        return Reference(name, where, partial(wardrobe.reference, name, self._pipeline))

    def draw(self, task: Task) -> None:
        """Draw everything; paths go to stdout as pictures are written, all else to stderr.

        Raises:
            ScmError: if a reference cannot be used, or nothing at all could be drawn.
        """
        if self._outputs.file is not None and len(task) > 1:
            raise ScmError(f"--out {self._outputs.file}: is one file for {len(task)} pictures; name a folder")
        references = {region: given.encode() for region, given in task.references.items()}
        paths: list[Path] = []
        taught = self._learn([source for source, _ in _of_rank(task, self._team.rank)])
        with self._counting(len(task)) as (advance, skip):
            for source, poses in _of_rank(task, self._team.rank):
                pipeline = taught.get(source.where, self._pipeline)
                try:
                    shown = self._encode(source, pipeline)
                    encoded = shown
                    if references:
                        encoded = pipeline.exchange(shown, references, force=task.force)
                except ScmError as error:
                    skip(source, error, len(poses))
                    continue
                waiting: deque[tuple[Input, Person | Pose]] = deque()
                usable = self._usable(poses, waiting, skip)
                for result in pipeline.transfer_many(encoded, usable, self._batch, self._size):
                    given, pose = waiting.popleft()
                    strip = _strip(task, shown, references, pose, result) if self._strip else None
                    paths.append(self._write(task, source, encoded, given, pose, result, strip))
                    if self._team.rank.is_first:
                        print(paths[-1], flush=True)
                    advance()
        if not self._with_the_others(paths):
            raise ScmError("nothing was drawn: none of the inputs could be used, for the reasons above")

    def _with_the_others(self, paths: list[Path]) -> int:
        """Let the first process tell what the others drew and skipped; return how many pictures there are of all."""
        of_all = self._team.gather((paths, self._unusable))
        if self._team.rank.is_first:
            reported = set(self._unusable)
            for others_paths, others_unusable in of_all[1:]:
                for where, line in others_unusable.items():
                    if where not in reported:
                        print(line, file=sys.stderr)
                reported |= others_unusable.keys()
                print(*others_paths, sep="\n", end="\n" if others_paths else "", flush=True)
        self._team.leave()
        return sum(len(drawn) for drawn, _ in of_all)

    def animate(self, task: Task, path: Path, rate: float) -> None:
        """Draw one person in every pose, in order, as one animated picture; its path goes to stdout.

        Args:
            task: of one source, without references.
            path: the picture's; a number follows its name where that is taken by another's.
            rate: frames a second.

        Raises:
            ScmError: if there are several sources, or fewer than two poses that can be drawn.
        """
        if self._team.rank.count > 1:
            raise ScmError(f"--animate {path}: one process draws it; start it without torchrun")
        if len(task.sources) != 1:
            raise ScmError(f"--animate {path}: shows one person, and --src names {len(task.sources)}; name one of them")
        source, poses = task.sources[0], task.poses or []
        pipeline = self._learn([source]).get(source.where, self._pipeline)
        encoded = self._encode(source, pipeline)
        frames: list[UInt8Array] = []
        drawn: list[Input] = []
        seconds = 0.0
        waiting: deque[tuple[Input, Person | Pose]] = deque()
        with self._counting(len(task)) as (advance, skip):
            usable = self._usable(poses, waiting, skip)
            for result in pipeline.transfer_many(encoded, usable, self._batch, self._size):
                given, pose = waiting.popleft()
                frames.append(_strip(task, encoded, {}, pose, result) if self._strip else np.asarray(result.image))
                drawn.append(given)
                seconds += result.seconds
                advance()
        if len(frames) < _FEWEST_FRAMES:
            raise ScmError(
                f"--animate {path}: needs at least {_FEWEST_FRAMES} poses that can be drawn, not {len(frames)}"
            )
        inputs = {"source": _named(source), "poses": [_named(given) for given in drawn]}
        report = {
            "settings": {**self._settings(), "frames_a_second": rate, "strip": self._strip},
            "seconds": {"reading_style": encoded.seconds, "drawing": seconds},
        }
        print(self._outputs.write_animation(path, frames, rate, inputs, report))

    @contextmanager
    def _counting(self, total: int) -> Iterator[tuple[Callable[[], None], Callable[[Input, ScmError, int], None]]]:
        """Show progress; give what counts a picture, and what tells once of an input that cannot be used."""
        columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True, soft_wrap=True, quiet=not self._team.rank.is_first)
        with Progress(
            *columns,
            console=console,
            disable=total == 1 or is_quiet(),
            redirect_stdout=sys.stdout.isatty(),  # paths that somebody else reads stay on stdout
            redirect_stderr=False,
        ) as bar:
            pictures = bar.add_task("drawing", total=-(-total // self._team.rank.count))

            def skip(given: Input, error: ScmError, num_pictures: int) -> None:
                if total == 1:
                    raise error
                if given.where not in self._unusable:
                    self._unusable[given.where] = f"scm: skipped {given.name}: {error}"
                    console.print(self._unusable[given.where], markup=False, highlight=False)
                bar.advance(pictures, num_pictures)

            yield lambda: bar.advance(pictures), skip

    def _learn(self, sources: Sequence[Input]) -> dict[str, Pipeline]:
        """Return for each source a model that was taught this person, where that is wanted.

        A source that cannot be read is left out; it is reported when it is drawn.
        """
        taught: dict[str, Pipeline] = {}
        for source in sources if self._teach is not None else ():
            try:
                photos = self._photos(source)
            except ScmError:
                continue
            assert self._teach is not None
            taught[source.where] = self._teach(self._pipeline, photos)
        return taught

    def _encode(self, given: Input, pipeline: Pipeline | None = None) -> EncodedSource:
        return (pipeline or self._pipeline).encode_photos(self._photos(given))

    def _photos(self, given: Input) -> list[Person]:
        """Read all photos of a person."""
        found = []
        for each in (given, *given.others):
            person = self._framed(each).cropped if self._keep_size and each.framed else each.read()
            if not isinstance(person, Person):
                raise ScmError(f"{each.where}: is a pose without a picture")
            found.append(person)
        return found

    def _read_pose(self, given: Input) -> Person | Pose:
        pose = self._framed(given).cropped if self._keep_size else given.read()
        self._pipeline.fit_pose(pose)
        return pose

    def _usable(
        self,
        poses: list[Input],
        waiting: deque[tuple[Input, Person | Pose]],
        skip: Callable[[Input, ScmError, int], None],
    ) -> Iterator[Person | Pose]:
        for given in poses:
            try:
                pose = self._pose(given)
            except ScmError as error:
                skip(given, error, 1)
                continue
            waiting.append((given, pose))
            yield pose

    def _write(
        self,
        task: Task,
        source: Input,
        encoded: EncodedSource,
        given: Input,
        pose: Person | Pose,
        result: Result,
        strip: UInt8Array | None,
    ) -> Path:
        in_place = given.where == source.where
        layout = pose if isinstance(pose, Person) else None
        if in_place and encoded.removed:
            layout = None  # the source's own map still shows what the edit took away
        target = layout if not task.references and (in_place or _are_pair(source, given)) else None
        measures = self._metrics.measure(result, encoded, layout, target, moves=not in_place)

        inputs: dict[str, Any] = {
            "source": _named(source),
            "pose": _named(given),
            "exchanged": {region: _named(reference) for region, reference in task.references.items()},
        }
        if task.colours:
            read_as = pose.taken_from if isinstance(pose, Drawing) else "prepared"
            inputs = {"edges": _named(given) | {"read_as": read_as}, "reference": _named(source)}
        report = {
            "removed_regions": list(encoded.removed),
            "settings": self._settings(),
            "seconds": {"reading_style": encoded.seconds, "drawing": result.seconds},
            "metrics": measures.values,
            "not_computed": measures.not_computed,
        }
        drawn = np.asarray(result.image)
        if self._keep_size:
            framed = self._framed(given)
            edit = encoded.edit if in_place else None
            drawn = framed.put_back(drawn) if edit is None else framed.put_back_edit(edit)
            crop = framed.crop
            report["kept_size"] = {"photo": given.where, "crop": [crop.left, crop.top, crop.width, crop.height]}
        return self._outputs.write(_stem(task, source, given), drawn, inputs, report, strip)

    def _settings(self) -> dict[str, Any]:
        return {"device": str(self._pipeline.device), "batch": self._batch, "canvas": str(self._pipeline.canvas)}


def _stem(task: Task, source: Input, given: Input) -> str:
    if task.colours:
        return f"{safe_name(given.name)}_like_{safe_name(source.name)}"
    return "_".join([
        safe_name(source.name),
        *(f"{region}-from-{safe_name(reference.name)}" for region, reference in task.references.items()),
        *([] if task.poses is None else ["to", safe_name(given.name)]),
    ])  # fmt: skip


def _of_rank(task: Task, rank: Rank) -> Iterator[tuple[Input, list[Input]]]:
    """Give the sources and poses that one of several processes draws: neighbours, so that it reads few sources.

    Pictures that may want the same file name fall to the same process, which numbers them.
    """
    poses_of = [(source, [source] if task.poses is None else task.poses) for source in task.sources]
    if rank.count == 1:
        yield from poses_of
        return
    stems = dict.fromkeys(_stem(task, source, given) for source, poses in poses_of for given in poses)
    owners = {stem: place * rank.count // len(stems) for place, stem in enumerate(stems)}
    for stem in stems:
        owners[stem] = owners.get(re.sub(r"_\d+$", "", stem), owners[stem])
    for source, poses in poses_of:
        own = [given for given in poses if owners[_stem(task, source, given)] == rank.index]
        if own:
            yield source, own


def _read_framed(given: Input) -> Framed:
    if given.framed is None:
        raise ScmError(
            f"{given.where}: is no photo that the result could be put into; leave --keep-size out, or let a photo give "
            "the pose"
        )
    return given.framed()


def _strip(
    task: Task, source: EncodedSource, references: dict[str, EncodedSource], pose: Person | Pose, result: Result
) -> UInt8Array:
    """Lay out source, references, pose and result side by side, all of the result's size; edges come first."""
    drawn = np.asarray(result.image)
    canvas = Canvas(*drawn.shape[:2])
    ground = resized(pose, canvas).image if isinstance(pose, Person) else np.full_like(drawn, PLAIN_GREY)
    domain = DOMAINS[pose.domain]
    given = result.joints if result.edges is None else result.edges
    structure = domain.draw(ground, domain.rescale(given, source.person.canvas, canvas))
    worn = resized(source.largest, canvas).image
    if task.colours:
        return contact_sheet([[structure, worn, drawn]], ["edges", "reference", "result"])
    taken = [resized(reference.largest, canvas).image for reference in references.values()]
    row = [worn, *taken, structure, drawn]
    return contact_sheet([row], ["source", *references, "pose" if result.edges is None else "edges", "result"])


def _named(given: Input | Reference) -> dict[str, Any]:
    named: dict[str, Any] = {"name": given.name, "path": given.where}
    if isinstance(given, Input) and given.others:
        named["further_photos"] = [other.where for other in given.others]
    return named


def _are_pair(source: Input, pose: Input) -> bool:
    """Whether a prepared folder lists the two as pictures of one person."""
    if source.folder is None or pose.folder is None or source.folder.path != pose.folder.path:
        return False
    return (source.name, pose.name) in _pairs(source.folder)


@cache
def _pairs(folder: PreparedFolder) -> set[tuple[str, str]]:
    return set(folder.pairs())


def check_animation(path: Path) -> None:
    """Refuse a file name of no kind of animated picture, before anything is loaded.

    Raises:
        ScmError: naming the kinds there are.
    """
    if path.suffix.lower() not in ANIMATED:
        raise ScmError(f"--animate {path}: cannot be written; give a name that ends with {', '.join(ANIMATED)}")


def set_up(
    drawing: DrawingOptions,
    inputs: InputOptions,
    *,
    strip: bool,
    runtime: Runtime = Runtime.torch,
    teach: Teach | None = None,
) -> tuple[Finder, Artist]:
    """Load the model and open the folders that the options name.

    Raises:
        ScmError: if no model is given, or an option names what is not there.
    """
    pipeline = open_model(drawing.model, drawing.device, runtime)
    size = read_output_size(drawing.size, pipeline)
    finder = find_inputs(pipeline, inputs, size)
    batch = drawing.batch or (8 if pipeline.device.type == "cuda" else 1)
    keep_size = isinstance(drawing, PhotoOptions) and drawing.keep_size
    outputs = Outputs(drawing.out, pipeline, mark=drawing.mark)
    return finder, Artist(pipeline, outputs, batch=batch, strip=strip, keep_size=keep_size, size=size, teach=teach)
