"""The loop that ``scm transfer``, ``edit`` and ``colorize`` share: every source, as it is or edited, in every pose."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scmnet_cli.cli.console import is_quiet, note
from scmnet_cli.cli.drawing.input import Input
from scmnet_cli.cli.drawing.inputs import Finder
from scmnet_cli.cli.drawing.opening import find_inputs, open_model, read_output_size
from scmnet_cli.cli.drawing.outputs import Outputs
from scmnet_cli.cli.drawing.task import Reference, Task, are_pair, named
from scmnet_cli.cli.interrupts import interrupts_wait, stops_with
from scmnet_cli.cli.options import DrawingOptions, InputOptions, PhotoOptions, Runtime
from scmnet_cli.data.dataset import resized
from scmnet_cli.domains import DOMAINS
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.one_result import TransferMetrics
from scmnet_cli.images import ANIMATED, PLAIN_GREY, contact_sheet
from scmnet_cli.inference.flat_garments import PREFIX as FLAT
from scmnet_cli.inference.flat_garments import read_flat_garment
from scmnet_cli.inference.inputs.framed import MAX_KEPT_PIXELS, Framed
from scmnet_cli.inference.inputs.sketches import Drawing
from scmnet_cli.inference.opening import open_wardrobe
from scmnet_cli.inference.pipeline import EncodedSource, Pipeline, Result
from scmnet_cli.inference.wardrobe import PREFIX, SHIPPED_WARDROBE, Wardrobe
from scmnet_cli.system.processes import Team, this_rank
from scmnet_cli.types import Canvas, Person, Pose, UInt8Array

Skip = Callable[[Input, ScmError, int], None]
"""Reports an input that cannot be used, for the reason, and that so many pictures are not drawn."""

_POSES_KEPT = 256
_FEWEST_FRAMES = 2
_FRAMES_KEPT = 4
_SHEET_HEIGHT = 1024
_WITHOUT_EFFECT = ("model", "out", "device", "batch", "data", "skip_existing", "before_after")
"""Options that are named elsewhere in a report, or change no picture."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of every picture of a command.

    Attributes:
        batch: poses drawn at a time.
        size: of the pictures; None: the source's own.
        strip: also write source, pose and result side by side.
        keep_size: put the result into the photo that gives the pose.
        before_after: also write that photo and the result side by side.
        cutout: leave the background transparent.
        skip_existing: keep pictures that are there already, of the same inputs, model and options.
        options: those that change a picture, by name, as its report holds them.
    """

    batch: int
    size: Canvas | None = None
    strip: bool = False
    keep_size: bool = False
    before_after: bool = False
    cutout: bool = False
    skip_existing: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sheets(self) -> tuple[str, ...]:
        """The pictures that are written beside each picture, by the end of their names."""
        return ("strip",) * self.strip + ("before-after",) * self.before_after


@dataclass(frozen=True)
class Drawn:
    """A result, what gave its pose, and the sheets to be written beside it."""

    given: Input
    pose: Person | Pose
    result: Result
    sheets: Mapping[str, UInt8Array]


Teach = Callable[[Pipeline, Sequence[Person]], Pipeline]
"""Returns a model that was taught the person of some photos."""


class Artist:
    """Draws tasks; an unusable input is reported in one line, and the others are drawn."""

    def __init__(self, pipeline: Pipeline, outputs: Outputs, wanted: Wanted, teach: Teach | None = None) -> None:
        self._team = Team(this_rank())
        self._pipeline = pipeline
        self._outputs = outputs
        self._wanted = wanted
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
        paths: list[Path] = []
        kept: list[Path] = []
        with stops_with(lambda: self._so_far(len(task), paths, kept)):
            missing = self._missing(task, kept)
            references = {region: given.encode() for region, given in task.references.items()} if missing else {}
            taught = self._learn([source for source, _ in missing])
            with self._counting(len(task), sum(len(poses) for _, poses in missing)) as (advance, skip):
                for source, poses in missing:
                    pipeline = taught.get(source.where, self._pipeline)
                    for write in self._drawn(pipeline, task, (source, poses), references, skip):
                        with interrupts_wait():
                            paths.append(write())
                            self._print(paths[-1])
                            advance()
        if kept:
            note(f"{len(kept)} of {len(task)} pictures were there already and are kept")
        if not self._with_the_others(paths, kept):
            raise ScmError("nothing was drawn: none of the inputs could be used, for the reasons above")

    def _missing(self, task: Task, kept: list[Path]) -> list[tuple[Input, list[Input]]]:
        """Return what this process has to draw; with --skip-existing, pictures that are there go to ``kept``."""
        asked = list(task.of_rank(self._team.rank))
        if not self._wanted.skip_existing:
            return asked
        missing = []
        for source, poses in asked:
            left = []
            for given in poses:
                path = self._outputs.existing(
                    task.stem(source, given), task.inputs(source, given), self._wanted.options, self._wanted.sheets
                )
                if path is None:
                    left.append(given)
                else:
                    kept.append(path)
                    self._print(path)
            if left:
                missing.append((source, left))
        return missing

    def _drawn(
        self,
        pipeline: Pipeline,
        task: Task,
        asked: tuple[Input, list[Input]],
        references: dict[str, EncodedSource],
        skip: Skip,
    ) -> Iterator[Callable[[], Path]]:
        """Draw one source in its poses; give for each picture what writes it."""
        source, poses = asked
        try:
            shown = self._encode(source, pipeline)
            encoded = pipeline.exchange(shown, references, force=task.force) if references else shown
        except ScmError as error:
            skip(source, error, len(poses))
            return
        waiting: deque[tuple[Input, Person | Pose]] = deque()
        usable = self._usable(poses, waiting, skip)
        for result in pipeline.transfer_many(encoded, usable, self._wanted.batch, self._wanted.size):
            given, pose = waiting.popleft()
            sheets = {}
            if self._wanted.strip:
                sheets["strip"] = _strip(task, shown, references, pose, result)
            yield partial(self._write, task, source, encoded, Drawn(given, pose, result, sheets))

    def _print(self, path: Path) -> None:
        if self._team.rank.is_first:
            print(path, flush=True)

    def _so_far(self, total: int, paths: list[Path], kept: list[Path]) -> str:
        """Say what is done and what is not, when Ctrl-C stopped the drawing."""
        rank = self._team.rank
        share = f"{rank}: " if rank.count > 1 else ""
        before = f" and {len(kept)} were there already" if kept else ""
        written = f"{share}{len(paths)} of {total} pictures are written to {self._outputs.folder}{before}"
        return f"{written}; each is whole; the same command with --skip-existing draws the rest"

    def _with_the_others(self, paths: list[Path], kept: list[Path]) -> int:
        """Let the first process list what the others drew and skipped; return how many pictures there are of all."""
        of_all = self._team.gather((paths + kept, self._unusable))
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
        stopped = stops_with(lambda: f"{len(frames)} of {len(task)} frames are drawn; {path} is not written")
        with stopped, self._counting(len(task), len(task)) as (advance, skip):
            usable = self._usable(poses, waiting, skip)
            for result in pipeline.transfer_many(encoded, usable, self._wanted.batch, self._wanted.size):
                given, pose = waiting.popleft()
                strip = self._wanted.strip
                frames.append(_strip(task, encoded, {}, pose, result) if strip else np.asarray(result.image))
                drawn.append(given)
                seconds += result.seconds
                advance()
        if len(frames) < _FEWEST_FRAMES:
            raise ScmError(
                f"--animate {path}: needs at least {_FEWEST_FRAMES} poses that can be drawn, not {len(frames)}"
            )
        inputs = {"source": named(source), "poses": [named(given) for given in drawn]}
        report = {
            "options": self._wanted.options,
            "settings": {**self._settings(), "frames_a_second": rate, "strip": self._wanted.strip},
            "seconds": {"reading_style": encoded.seconds, "drawing": seconds},
        }
        with interrupts_wait():
            print(self._outputs.write_animation(path, frames, rate, inputs, report))

    @contextmanager
    def _counting(
        self, total: int, own: int
    ) -> Iterator[tuple[Callable[[], None], Callable[[Input, ScmError, int], None]]]:
        """Show progress; give what counts a picture, and what reports once an input that cannot be used.

        Args:
            total: pictures of all processes; a single one fails instead of being skipped.
            own: pictures of this process.
        """
        columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True, soft_wrap=True, quiet=not self._team.rank.is_first)
        with Progress(
            *columns,
            console=console,
            disable=total == 1 or is_quiet(),
            redirect_stdout=sys.stdout.isatty(),  # paths that somebody else reads stay on stdout
            redirect_stderr=False,
        ) as bar:
            pictures = bar.add_task("drawing", total=own)

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
            person = self._framed(each).cropped if self._wanted.keep_size and each.framed else each.read()
            if not isinstance(person, Person):
                raise ScmError(f"{each.where}: is a pose without a picture")
            found.append(person)
        return found

    def _read_pose(self, given: Input) -> Person | Pose:
        pose = self._framed(given).cropped if self._wanted.keep_size else given.read()
        self._pipeline.fit_pose(pose)
        return pose

    def _usable(
        self,
        poses: list[Input],
        waiting: deque[tuple[Input, Person | Pose]],
        skip: Skip,
    ) -> Iterator[Person | Pose]:
        for given in poses:
            try:
                pose = self._pose(given)
            except ScmError as error:
                skip(given, error, 1)
                continue
            waiting.append((given, pose))
            yield pose

    def _write(self, task: Task, source: Input, encoded: EncodedSource, drawn: Drawn) -> Path:
        given, pose, result = drawn.given, drawn.pose, drawn.result
        in_place = given.where == source.where
        layout = pose if isinstance(pose, Person) else None
        if in_place and encoded.removed:
            layout = None  # the source's own map still shows what the edit took away
        target = layout if not task.references and (in_place or are_pair(source, given)) else None
        measures = self._metrics.measure(result, encoded, layout, target, moves=not in_place)

        inputs = task.inputs(source, given)
        if task.colours:
            inputs["edges"]["read_as"] = pose.taken_from if isinstance(pose, Drawing) else "prepared"
        report = {
            "removed_regions": list(encoded.removed),
            "options": self._wanted.options,
            "settings": self._settings(),
            "seconds": {"reading_style": encoded.seconds, "drawing": result.seconds},
            "metrics": measures.values,
            "not_computed": measures.not_computed,
        }
        picture, sheets = np.asarray(result.cutout() if self._wanted.cutout else result.image), dict(drawn.sheets)
        if self._wanted.keep_size:
            framed = self._framed(given)
            edit = encoded.edit if in_place else None
            picture = framed.put_back(picture) if edit is None else framed.put_back_edit(edit)
            crop = framed.crop
            report["kept_size"] = {"photo": given.where, "crop": [crop.left, crop.top, crop.width, crop.height]}
            if self._wanted.before_after:
                sheets["before-after"] = before_after(framed.photo.image, picture)
        return self._outputs.write(task.stem(source, given), picture, inputs, report, sheets)

    def _settings(self) -> dict[str, Any]:
        return {
            "device": str(self._pipeline.device),
            "batch": self._wanted.batch,
            "canvas": str(self._pipeline.canvas),
        }


def _read_framed(given: Input) -> Framed:
    if given.framed is None:
        raise ScmError(
            f"{given.where}: is no photo that the result could be put into; leave --keep-size out, or let a photo give "
            "the pose"
        )
    framed = given.framed()
    if framed.num_pixels > MAX_KEPT_PIXELS:
        raise ScmError(
            f"{given.where}: has over {MAX_KEPT_PIXELS // 1_000_000} million pixels; make it smaller, or leave "
            "--keep-size out"
        )
    return framed


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


def check_animation(path: Path) -> None:
    """Refuse a file name of no kind of animated picture, before anything is loaded.

    Raises:
        ScmError: naming the kinds there are.
    """
    if path.suffix.lower() not in ANIMATED:
        raise ScmError(f"--animate {path}: cannot be written; give a name that ends with {', '.join(ANIMATED)}")


def before_after(before: UInt8Array, after: UInt8Array) -> UInt8Array:
    """Return a photo and its changed copy side by side, at most 1,024 pixels high.

    Shape:
        before, after: (H, W, 3) uint8; result: (H', W', 3) uint8.
    """
    pictures = []
    for pixels in (before, after):
        picture = Image.fromarray(pixels)
        picture.thumbnail((picture.width, _SHEET_HEIGHT), Image.Resampling.LANCZOS)
        pictures.append(np.asarray(picture))
    return contact_sheet([pictures], ["before", "after"])


def set_up(
    drawing: DrawingOptions,
    inputs: InputOptions,
    further: Mapping[str, Any] | None = None,
    *,
    strip: bool,
    runtime: Runtime = Runtime.torch,
    teach: Teach | None = None,
) -> tuple[Finder, Artist]:
    """Load the model and open the folders that the options name.

    Args:
        drawing: options of the pictures.
        inputs: options of people and poses.
        further: options of the command itself that change the pictures.
        strip: also write strips.
        runtime: what runs the networks.
        teach: teaches the model each person first; None: it is taken as it is.

    Raises:
        ScmError: if no model is given, or an option names what is not there or does not fit another.
    """
    keep_size = isinstance(drawing, PhotoOptions) and drawing.keep_size
    with_before = isinstance(drawing, PhotoOptions) and drawing.before_after
    check_cutout(drawing, keep_size=keep_size)
    if with_before and not keep_size:
        raise ScmError("--before-after: shows the photo that --keep-size puts the result into; give both")
    pipeline = open_model(drawing.model, drawing.device, runtime)
    if drawing.cutout and pipeline.background_level is None:
        raise ScmError(
            f"--cutout: {pipeline.path} draws no foreground mask; leave --cutout out, or use a model with one, such as "
            "the one that ships"
        )
    size = read_output_size(drawing.size, pipeline)
    options = changing_options(drawing, inputs, further or {})
    wanted = Wanted(
        batch=drawing.batch or (8 if pipeline.device.type == "cuda" else 1),
        size=size,
        strip=strip,
        keep_size=keep_size,
        before_after=with_before,
        cutout=drawing.cutout,
        skip_existing=drawing.skip_existing,
        options=options,
    )
    finder = find_inputs(pipeline, inputs, size)
    return finder, Artist(pipeline, Outputs(drawing.out, pipeline, mark=drawing.mark), wanted, teach)


def check_cutout(drawing: DrawingOptions, *, keep_size: bool) -> None:
    """Refuse --cutout where there is no transparency.

    Raises:
        ScmError: beside --keep-size, or for a JPEG.
    """
    if drawing.cutout and keep_size:
        raise ScmError("--cutout and --keep-size: one leaves the background out, the other keeps it; give one of them")
    if drawing.cutout and drawing.out.suffix.lower() in (".jpg", ".jpeg"):
        raise ScmError(f"--out {drawing.out}: JPEG has no transparency for --cutout; end the name with .png or .webp")


def changing_options(
    drawing: DrawingOptions, inputs: InputOptions, further: Mapping[str, Any]
) -> dict[str, str | int | float]:
    """Return the given options that change a picture, but for the model and inputs themselves."""
    given = {**asdict(drawing), **asdict(inputs), **further}
    kept = {name: value for name, value in given.items() if value and name not in _WITHOUT_EFFECT}
    return {name: value if isinstance(value, int | float) else str(value) for name, value in kept.items()}
