"""``rinr clip preview``: which runs of frames a folder holds, and why each ends; nothing is encoded."""

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rinr.accelerator import torch_device
from rinr.cli.console import SOME_REFUSED, escaped, fail, note, out, progress_bar
from rinr.clips import find_runs
from rinr.files import write_whole
from rinr.film_strip import MOST_SHOWN, reduced, rows_of_runs
from rinr.folders import FolderError, LabelledFolder, labelled_folders, spread
from rinr.frames import Frame, ImageError, Pixels
from rinr.networks.settings import ClipSettings
from rinr.presets import PRESETS, find_preset

WINDOW = 128
"""Frames that are held in memory at once."""

_MOST_ROWS = 60
_MOST_STRIPS = 20


@dataclass(frozen=True)
class FoundRun:
    """A run of frames that may become a clip.

    Attributes:
        folder: its name.
        first: file of the first frame.
        last: of the last one.
        frames: how many.
        begins: why it begins there, in words.
        likeness: the least of a frame to the one before, -1 to 1; ``None``: it has one frame.
        verdict: what encoding will do with it, in words.
    """

    folder: str
    first: str
    last: str
    frames: int
    begins: str
    likeness: float | None
    verdict: str


def preview(
    folder: Annotated[Path, typer.Argument(help="One camera's JPEGs, or sub-folders, one a camera.")],
    preset: Annotated[
        str, typer.Option(help=f"Whose limits count: {', '.join(p.name for p in PRESETS if p.clip)}.")
    ] = "clip",
    strip: Annotated[
        Path | None, typer.Option("--strip", help="Write a film strip here, a PNG: a few frames of each run.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compare frames: auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Say which runs of frames a folder holds, why each begins, and how alike its frames are. Nothing is encoded.

    A run becomes a clip where that takes fewer bytes, which is found out when it is encoded.

    Exit codes: 0 all done; 1 failed; 2 wrong usage; 3 done, but some files were refused.
    """
    try:
        settings, place = find_preset(preset).clip, torch_device(device)
        if settings is None:
            raise ValueError(f"the preset {preset} makes no clips; give one that does: clip")
        folders = labelled_folders(folder)
    except (ValueError, FolderError) as error:
        raise fail(str(error), code=2) from None
    search = _Search(settings, place)
    total = sum(len(each.files) for each in folders)
    with progress_bar(f"looking at {total} frames") as tell:
        for each in folders:
            for run, shown in search.runs(each):
                search.found.append(run)
                if len(search.strips) < _MOST_STRIPS:
                    search.strips.append((f"{run.frames} frames, {run.first} to {run.last}: {run.begins}", shown))
                tell(sum(one.frames for one in search.found), total)
    if not search.found:
        raise fail(f"none of the files in {folder} can be read as a picture")
    if strip:
        picture = io.BytesIO()
        rows_of_runs(search.strips).save(picture, "PNG")
        write_whole(strip, picture.getvalue())
    if as_json:
        print(json.dumps({"runs": [asdict(run) for run in search.found], "refused": search.refused}))
    else:
        _say(search.found, strip)
    if search.refused:
        raise typer.Exit(SOME_REFUSED)


@dataclass(frozen=True)
class _Taken:
    file: Path
    time: float | None
    frame: Frame
    begins: str = ""
    likeness: float | None = None


class _Search:
    """Runs of folders, found a window of frames at a time."""

    def __init__(self, settings: ClipSettings, device: str) -> None:
        self.settings, self.device = settings, device
        self.refused = 0
        self.found: list[FoundRun] = []
        self.strips: list[tuple[str, list[Pixels]]] = []

    def runs(self, folder: LabelledFolder) -> Iterator[tuple[FoundRun, list[Pixels]]]:
        """Each run with a few of its frames; the last one of a window may go on in the next."""
        window: list[_Taken] = []
        for file, time in folder.in_order():
            try:
                window.append(_Taken(file, time, folder.frame(file)))
            except ImageError as error:
                note(f"refused: {error}")
                self.refused += 1
            if len(window) >= WINDOW:
                *done, going_on = self._cut(window)
                for run in done:
                    yield self._told(folder, run)
                window = going_on
        for run in self._cut(window):
            yield self._told(folder, run)

    def _cut(self, window: list[_Taken]) -> list[list[_Taken]]:
        frames, times = [each.frame for each in window], [each.time for each in window]
        found = find_runs(frames, times, self.settings, device=self.device)
        runs = []
        for run in found:
            likeness = (None, *run.likeness)
            mine = window[run.start : run.stop]
            runs.append(
                [replace(one, begins=run.begins, likeness=like) for one, like in zip(mine, likeness, strict=True)]
            )
        return runs

    def _told(self, folder: LabelledFolder, run: list[_Taken]) -> tuple[FoundRun, list[Pixels]]:
        likeness = [each.likeness for each in run if each.likeness is not None]
        found = FoundRun(
            folder=folder.name,
            first=run[0].file.name,
            last=run[-1].file.name,
            frames=len(run),
            begins=run[0].begins,
            likeness=round(min(likeness), 3) if likeness else None,
            verdict=self._verdict(len(run)),
        )
        return found, [reduced(each.frame.pixels) for each in spread(run, MOST_SHOWN)]

    def _verdict(self, frames: int) -> str:
        fewest = self.settings.fewest_frames
        return "may be a clip" if frames >= fewest else f"fewer than {fewest}: alone, unless an earlier clip serves"


def _say(found: list[FoundRun], strip: Path | None) -> None:
    several = len({run.folder for run in found}) > 1
    table = Table("frames", "from", "to", show_edge=False, pad_edge=False)
    table.add_column("likeness", justify="right")
    for name in ("begins with", ""):
        table.add_column(name)
    for run in found[:_MOST_ROWS]:
        likeness = "–" if run.likeness is None else f"{run.likeness:.2f}"
        first = f"{run.folder}/{run.first}" if several else run.first
        words = (str(run.frames), first, run.last, likeness, run.begins, run.verdict)
        table.add_row(*(escaped(word) for word in words))
    out.print(table)
    if len(found) > _MOST_ROWS:
        out.print(f"and {len(found) - _MOST_ROWS:,} more: --json has them all")
    told = f"{len(found)} runs of {sum(run.frames for run in found)} frames"
    out.print(f"{told}; film strip in {strip}" if strip else told, soft_wrap=True)
