"""Drawing loop of ``scm transfer``, ``edit`` and ``colorize``: every source, unchanged or edited, in every pose."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scmnet_cli.cli.console import is_quiet, note, warn
from scmnet_cli.cli.drawing.input import Input
from scmnet_cli.cli.drawing.inputs import Finder
from scmnet_cli.cli.drawing.kept_size import check_faces_kept, read_framed
from scmnet_cli.cli.drawing.outputs import Outputs
from scmnet_cli.cli.drawing.sheets import before_after, draw_strip
from scmnet_cli.cli.drawing.task import Reference, Task, are_pair, named
from scmnet_cli.cli.interrupts import interrupts_wait, stops_with
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.drawing_model import DrawingModel
from scmnet_cli.inference.hidden_places import hidden_places
from scmnet_cli.inference.inputs.sketches import Drawing
from scmnet_cli.inference.opening import open_wardrobe
from scmnet_cli.inference.values import ReadySource, Result
from scmnet_cli.system.processes import Team, this_rank
from scmnet_cli.types import Canvas, Person, Pose, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.evaluation.one_result import TransferMetrics

Skip = Callable[[Input, ScmError, int], None]
"""Called with an unusable input, its error, and the number of pictures that are not drawn for it."""

_POSES_KEPT = 256
_FEWEST_FRAMES = 2
_FRAMES_KEPT = 4
_IN_TORCH = ("region_consistency", "region_closeness", "copy_score", "l1", "ssim_raw", "ssim_patn", "lpips_alex")
"""Metrics that only torch computes."""


@dataclass(frozen=True)
class RenderOptions:
    """Options of every picture of a command.

    Attributes:
        batch: poses per forward pass.
        size: size of the pictures; None: the source's own.
        strip: also write source, pose and result side by side.
        keep_size: put the result back into the photo that gives the pose.
        before_after: also write that photo and the result side by side.
        cutout: make the background transparent.
        skip_existing: keep existing pictures of the same inputs, model and options.
        options: options that change a picture, by name, for the report.
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
        """Suffixes of the sheets that are written beside each picture."""
        return ("strip",) * self.strip + ("before-after",) * self.before_after


@dataclass(frozen=True)
class Drawn:
    """A result, the input that gave its pose, and the sheets to write beside it."""

    given: Input
    pose: Person | Pose
    result: Result
    sheets: Mapping[str, UInt8Array]


Personalizer = Callable[[DrawingModel, Sequence[Person]], DrawingModel]
"""Returns a model fine-tuned on the person in the photos."""


class Renderer:
    """Draws tasks. An unusable input is reported in one line; the others are drawn."""

    def __init__(
        self, pipeline: DrawingModel, outputs: Outputs, wanted: RenderOptions, personalizer: Personalizer | None = None
    ) -> None:
        self._team = Team(this_rank())
        self._pipeline = pipeline
        self._outputs = outputs
        self._options = wanted
        self._personalizer = personalizer
        self._framed = lru_cache(_FRAMES_KEPT)(partial(read_framed, pipeline.domain))
        self._metrics: TransferMetrics | None = None
        self._unusable: dict[str, str] = {}  # the report line of each input, by its location
        self._pose = lru_cache(_POSES_KEPT)(self._read_pose)

    @property
    def edits_photos(self) -> bool:
        """Whether edits are made in the photo itself, by kind of garment, as with models that have a part warp."""
        return self._pipeline.config.model.part_warp

    def reference(self, word: str, kind: str, finder: Finder, wardrobe_file: Path | None) -> Reference:
        """Resolve a value of ``--ref``: a person, ``wardrobe:NAME``, or ``flat:PHOTO`` for a flat garment.

        Args:
            word: the value.
            kind: region or garment to take from it.
            finder: finds people.
            wardrobe_file: the wardrobe file; None: the shipped one.

        Raises:
            ScmError: if the value matches nothing, the wardrobe does not exist, or the photo shows no garment.
        """
        from scmnet_cli.inference.edits.flat_garments import PREFIX as FLAT
        from scmnet_cli.inference.edits.flat_garments import read_flat_garment
        from scmnet_cli.inference.wardrobe import PREFIX, SHIPPED_WARDROBE, Wardrobe

        if word.startswith(FLAT):
            path = Path(word.removeprefix(FLAT))
            name = path.stem
            garment = read_flat_garment(path, kind, name, open_wardrobe(None))
            return Reference(name, str(path), partial(Wardrobe([garment]).reference, name, self._pipeline))
        if not word.startswith(PREFIX):
            given = finder.reference(word, "--ref")
            return Reference(given.name, given.where, partial(self._encode, given))
        name = word.removeprefix(PREFIX)
        wardrobe = open_wardrobe(wardrobe_file)
        where = f"{wardrobe_file or SHIPPED_WARDROBE}#{name}"
        return Reference(name, where, partial(wardrobe.reference, name, self._pipeline))

    def draw(self, task: Task) -> None:
        """Draw all pictures of a task; print each path to stdout when written, and everything else to stderr.

        Raises:
            ScmError: if a reference cannot be used, no picture could be drawn, or --keep-size is not possible.
        """
        if self._options.keep_size and not self._pipeline.domain.has_joints:
            check_faces_kept(task)
        if self._outputs.file is not None and len(task) > 1:
            raise ScmError(f"--out {self._outputs.file}: is one file for {len(task)} pictures; give a folder")
        paths: list[Path] = []
        kept: list[Path] = []
        with stops_with(lambda: self._so_far(len(task), paths, kept)):
            missing = self._missing(task, kept)
            references = {region: given.encode() for region, given in task.references.items()} if missing else {}
            personalized = self._personalize([source for source, _ in missing])
            with self._counting(len(task), sum(len(poses) for _, poses in missing)) as (advance, skip):
                for source, poses in missing:
                    pipeline = personalized.get(source.where, self._pipeline)
                    for write in self._drawn(pipeline, task, (source, poses), references, skip):
                        with interrupts_wait():
                            paths.append(write())
                            self._print(paths[-1])
                            advance()
        if kept:
            note(f"{len(kept)} of {len(task)} pictures existed already and are kept")
        if not self._gather(paths, kept):
            raise ScmError("nothing was drawn: none of the inputs could be used, for the reasons above")

    def _missing(self, task: Task, kept: list[Path]) -> list[tuple[Input, list[Input]]]:
        """Return what this process has to draw; with --skip-existing, add existing pictures to ``kept`` instead."""
        own = list(task.of_rank(self._team.rank))
        if not self._options.skip_existing:
            return own
        missing = []
        for source, poses in own:
            left = []
            for given in poses:
                path = self._outputs.existing(
                    task.stem(source, given), task.inputs(source, given), self._options.options, self._options.sheets
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
        pipeline: DrawingModel,
        task: Task,
        one: tuple[Input, list[Input]],
        references: dict[str, ReadySource],
        skip: Skip,
    ) -> Iterator[Callable[[], Path]]:
        """Draw one source in its poses; yield for each picture a function that writes it."""
        source, poses = one
        try:
            shown = self._encode(source, pipeline)
            encoded = pipeline.exchange(shown, references, force=task.force) if references else shown
        except ScmError as error:
            skip(source, error, len(poses))
            return
        self._tell_hidden(source, shown, poses)
        waiting: deque[tuple[Input, Person | Pose]] = deque()
        usable = self._usable(poses, waiting, skip)
        for result in pipeline.transfer_many(encoded, usable, self._options.batch, self._options.size):
            given, pose = waiting.popleft()
            sheets = {}
            if self._options.strip:
                sheets["strip"] = draw_strip(task, shown, references, pose, result)
            yield partial(self._write, task, source, encoded, Drawn(given, pose, result, sheets))

    def _tell_hidden(self, source: Input, shown: ReadySource, poses: list[Input]) -> None:
        """Say once what a photo does not show of its person, if it is drawn in another pose."""
        if not source.others and any(given.where != source.where for given in poses):
            for place in hidden_places(shown.person):
                note(f"note: {source.name}: {place}")

    def _print(self, path: Path) -> None:
        if self._team.rank.is_first:
            print(path, flush=True)

    def _so_far(self, total: int, paths: list[Path], kept: list[Path]) -> str:
        """Return a summary of the work done so far, for when Ctrl-C stops drawing."""
        rank = self._team.rank
        share = f"{rank}: " if rank.count > 1 else ""
        before = f" and {len(kept)} existed already" if kept else ""
        written = f"{share}{len(paths)} of {total} pictures are written to {self._outputs.folder}{before}"
        return f"{written}; each is complete; the same command with --skip-existing draws the rest"

    def _gather(self, paths: list[Path], kept: list[Path]) -> int:
        """On the first process, print what the others drew and skipped; return the number of pictures of all."""
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
        """Draw one person in every pose, in order, as one animated picture; print its path to stdout.

        Args:
            task: a task with one source and without references.
            path: path of the picture; a number is appended if the name is taken by other inputs.
            rate: frames per second.

        Raises:
            ScmError: if there are several sources, or fewer than two poses can be drawn.
        """
        if self._team.rank.count > 1:
            raise ScmError(f"--animate {path}: is drawn by one process; start it without torchrun")
        if len(task.sources) != 1:
            raise ScmError(f"--animate {path}: shows one person, but --src gives {len(task.sources)}; give one of them")
        source, poses = task.sources[0], task.poses or []
        pipeline = self._personalize([source]).get(source.where, self._pipeline)
        encoded = self._encode(source, pipeline)
        frames: list[UInt8Array] = []
        drawn: list[Input] = []
        seconds = 0.0
        waiting: deque[tuple[Input, Person | Pose]] = deque()
        stopped = stops_with(lambda: f"{len(frames)} of {len(task)} frames are drawn; {path} is not written")
        with stopped, self._counting(len(task), len(task)) as (advance, skip):
            usable = self._usable(poses, waiting, skip)
            for result in pipeline.transfer_many(encoded, usable, self._options.batch, self._options.size):
                given, pose = waiting.popleft()
                strip = self._options.strip
                frames.append(draw_strip(task, encoded, {}, pose, result) if strip else np.asarray(result.image))
                drawn.append(given)
                seconds += result.seconds
                advance()
        if len(frames) < _FEWEST_FRAMES:
            raise ScmError(
                f"--animate {path}: needs at least {_FEWEST_FRAMES} poses that can be drawn, found {len(frames)}"
            )
        inputs = {"source": named(source), "poses": [named(given) for given in drawn]}
        report = {
            "options": self._options.options,
            "settings": {**self._settings(), "frames_a_second": rate, "strip": self._options.strip},
            "seconds": {"reading_style": encoded.seconds, "drawing": seconds},
        }
        with interrupts_wait():
            print(self._outputs.write_animation(path, frames, rate, inputs, report))

    @contextmanager
    def _counting(
        self, total: int, own: int
    ) -> Iterator[tuple[Callable[[], None], Callable[[Input, ScmError, int], None]]]:
        """Show progress; yield a function that counts a picture and one that reports an unusable input once.

        Args:
            total: number of pictures of all processes; if there is only one, its error is raised instead of reported.
            own: number of pictures of this process.
        """
        columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True, soft_wrap=True, quiet=not self._team.rank.is_first)
        with Progress(
            *columns,
            console=console,
            disable=total == 1 or is_quiet(),
            redirect_stdout=sys.stdout.isatty(),  # piped paths stay on stdout
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

    def _personalize(self, sources: Sequence[Input]) -> dict[str, DrawingModel]:
        """Return the personalized model of each source, by its location; empty without a personalizer.

        A source that cannot be read is skipped here and reported when it is drawn.
        """
        personalized: dict[str, DrawingModel] = {}
        for source in sources if self._personalizer is not None else ():
            try:
                photos = self._photos(source)
            except ScmError:
                continue
            assert self._personalizer is not None
            personalized[source.where] = self._personalizer(self._pipeline, photos)
        return personalized

    def _encode(self, given: Input, pipeline: DrawingModel | None = None) -> ReadySource:
        return (pipeline or self._pipeline).encode_photos(self._photos(given))

    def _photos(self, given: Input) -> list[Person]:
        """Read all photos of a person."""
        found = []
        for each in (given, *given.others):
            person = self._framed(each).cropped if self._options.keep_size and each.framed else each.read()
            if not isinstance(person, Person):
                raise ScmError(f"{each.where}: is a pose without a picture; give a photo of a person")
            found.append(person)
        return found

    def _read_pose(self, given: Input) -> Person | Pose:
        pose = self._framed(given).cropped if self._options.keep_size else given.read()
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

    def _write(self, task: Task, source: Input, encoded: ReadySource, drawn: Drawn) -> Path:
        given, pose, result = drawn.given, drawn.pose, drawn.result
        in_place = given.where == source.where
        layout = pose if isinstance(pose, Person) else None
        if in_place and encoded.removed:
            layout = None  # the source's own map still contains the removed regions
        target = layout if not task.references and (in_place or are_pair(source, given)) else None
        metrics, not_computed = self._measured(result, encoded, layout, target, moves=not in_place)

        inputs = task.inputs(source, given)
        if task.colours:
            inputs["edges"]["read_as"] = pose.taken_from if isinstance(pose, Drawing) else "prepared"
        report = {
            "removed_regions": list(encoded.removed),
            "not_shown": [] if in_place or source.others else hidden_places(encoded.person),
            "options": self._options.options,
            "settings": self._settings(),
            "seconds": {"reading_style": encoded.seconds, "drawing": result.seconds},
            "metrics": metrics,
            "not_computed": not_computed,
        }
        picture, sheets = np.asarray(result.cutout() if self._options.cutout else result.image), dict(drawn.sheets)
        if self._options.keep_size:
            framed = self._framed(given)
            edit = encoded.edit if in_place else None
            picture = framed.put_back(picture) if edit is None else framed.put_back_edit(edit)
            unchanged = "" if edit is None else framed.unchanged_part(edit)
            if unchanged:
                warn(unchanged)
            report["kept_size"] = {"photo": given.where, **framed.place}
            if self._options.before_after:
                sheets["before-after"] = before_after(framed.image, picture)
        return self._outputs.write(task.stem(source, given), picture, inputs, report, sheets)

    def _measured(
        self, result: Result, source: ReadySource, layout: Person | None, target: Person | None, *, moves: bool
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the metrics of a result, and the reason for each that was not computed; metrics need torch."""
        if self._pipeline.runtime != "torch":
            return {"field_entropy": result.entropy}, dict.fromkeys(_IN_TORCH, "--runtime onnx works without torch")
        if self._metrics is None:
            from scmnet_cli.evaluation.one_result import TransferMetrics

            self._metrics = TransferMetrics()
        measures = self._metrics.measure(result, source, layout, target, moves=moves)
        return measures.values, measures.not_computed

    def _settings(self) -> dict[str, Any]:
        return {
            "device": str(self._pipeline.device),
            "batch": self._options.batch,
            "canvas": str(self._pipeline.canvas),
        }
