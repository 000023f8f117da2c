"""``rinr clip``: frames that resemble each other, encoded together; what that would find, does, and looks like."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any

import typer

from rinr.accelerator import torch_device
from rinr.cli.clip_encode import clips_into_files
from rinr.cli.clip_play import play
from rinr.cli.clip_preview import preview
from rinr.cli.console import EXIT_CODES, SOME_REFUSED, decibels, escaped, fail, note, out
from rinr.cli.encoding_job import DoneClip, Job, goes_on, say, totals
from rinr.folders import FolderError, labelled_folders
from rinr.outcome import Outcome
from rinr.presets import PRESETS, find_preset

_MOST_LINES = 60
_NEVER = 1e12  # seconds, more than any two times are apart

app = typer.Typer(
    help="Clips: frames of one camera that resemble each other, encoded together.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def encode(
    folder: Annotated[
        Path, typer.Argument(help="One camera's JPEGs, with annotations.json (COCO); or sub-folders, one a camera.")
    ],
    out_dir: Annotated[
        Path, typer.Option("--out", help="One payload file (.rinr) an image, and one (.rinrp) for what a clip shares.")
    ],
    preset: Annotated[str, typer.Option(help=f"One of: {', '.join(p.name for p in PRESETS if p.clip)}.")] = "clip",
    device: Annotated[str, typer.Option(help="Where to fit: auto, cpu or cuda.")] = "auto",
    alone: Annotated[
        bool, typer.Option("--alone", help="Encode each frame alone as well, to say what clips save; takes longer.")
    ] = False,
    together: Annotated[
        bool,
        typer.Option("--together", help="A folder is one clip, as you say: neither time nor likeness cuts it."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Encode a folder's frames as clips where that takes fewer bytes, and alone where it does not.

    Each clip is written down as it is finished; the same command goes on from there, and new frames may lie in what an
    earlier clip shares. The files of a clip (.rinr) need what it shares (.rinrp) in their folder.
    """
    try:
        chosen, place = find_preset(preset), torch_device(device)
        if chosen.clip is None:
            names = ", ".join(each.name for each in PRESETS if each.clip)
            raise ValueError(f"the preset {preset} makes no clips; those that do: {names}")
        if together:
            chosen = replace(chosen, clip=replace(chosen.clip, most_gap=_NEVER, least_likeness=-1.0))
        folders = labelled_folders(folder)
    except (ValueError, FolderError) as error:
        raise fail(str(error), code=2) from None
    job, where = Job(chosen, Outcome(), place, 1), f"payload files in {out_dir}"
    with goes_on(job, where, str(out_dir)):
        clips_into_files(folders, out_dir, job, alone=alone)
    if as_json:
        clips = [asdict(clip) for clip in job.clips]
        print(json.dumps(asdict(totals(job)) | _alone(job.clips) | {"refused": job.refused, "clips": clips}))
    else:
        for clip in job.clips[:_MOST_LINES]:
            out.print(escaped(_line(clip)), soft_wrap=True)
        if len(job.clips) > _MOST_LINES:
            out.print(f"and {len(job.clips) - _MOST_LINES:,} more: --json has them all")
        say(job, where)
    if job.refused:
        note(f"{job.refused} refused, see above; everything else is encoded")
        raise typer.Exit(SOME_REFUSED)


encode.__doc__ = f"{cleandoc(encode.__doc__ or '')}\n\n{EXIT_CODES[:-1]}; 130 stopped by Ctrl-C, 143 by SIGTERM."
for command in (preview, encode, play):
    app.command()(command)


def _alone(clips: Sequence[DoneClip]) -> dict[str, Any]:
    sizes = [clip.bytes_alone for clip in clips if clip.bytes_alone is not None]
    return {"bytes_alone": sum(sizes)} if sizes else {}


def _line(clip: DoneClip) -> str:
    """What became of a clip's frames."""
    size = clip.bytes_frames + clip.bytes_part
    said = f"{size:,} bytes" + (f", {clip.bytes_part:,} of them shared" if clip.bytes_part else "")
    if clip.bytes_alone:
        said += f" ({size / clip.bytes_alone:.2f} of {clip.bytes_alone:,} one by one)"
    said += f", background {decibels(clip.background_db)}, object {decibels(clip.object_db)}"
    frames = f"{clip.frames} frames" if clip.frames > 1 else "1 frame"
    reasons = f"; {'; '.join(clip.reasons)}" if clip.reasons else ""
    return f"{Path(clip.first).stem} to {Path(clip.last).stem}, {frames}: {said}{reasons}"
