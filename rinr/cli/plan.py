"""``rinr plan``: what a fleet would save on its own frames, before anything is bought."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rinr.cli.console import changing_bar, fail, note, out
from rinr.cli.plan_options import part, rate, upload
from rinr.cli.plan_view import document, footnotes, tables, verdict_lines
from rinr.codec.encoded import EncodedImage
from rinr.encoder import Progress
from rinr.files import write_whole
from rinr.folders import FolderError
from rinr.frames import Frame
from rinr.outcome import Outcome, check_searchable
from rinr.planning.encoding import Encode, encode_here
from rinr.planning.plan import Setting, make_plan
from rinr.planning.plot import draw
from rinr.planning.sample import FolderSample, sample_folder
from rinr.planning.survey import NothingMeetsError, Survey, Ways, survey
from rinr.planning.verdict import judge
from rinr.pool import EncoderPool, cores
from rinr.presets import CHEAPEST, PRESETS, Preset, find_preset
from rinr.traffic import Exchange

_FRAMES_FOR_A_POOL = 4  # further processes take seconds to start


def plan(
    folder: Annotated[Path, typer.Argument(help="JPEGs with an annotations.json (COCO), or sub-folders of such.")],
    devices: Annotated[int, typer.Option(help="Devices of the fleet.")] = 10,
    receivers: Annotated[
        int | None, typer.Option(help="Devices that each picture goes to.", show_default="all others")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(help="Pictures that all devices capture in a round, a day say.", show_default="the folder's"),
    ] = None,
    radio: Annotated[str, typer.Option(help="Its rate: 2MB/s, 500kB/s, 1.5Mbit/s, bytes a second.")] = "2MB/s",
    loss: Annotated[str, typer.Option(help="The part of what is sent that has to be sent again: 1% or 0.01.")] = "0",
    share: Annotated[str, typer.Option(help="The part that a receiver wants of what it is offered.")] = "1",
    broadcast: Annotated[bool, typer.Option("--broadcast", help="One sending reaches all receivers.")] = False,
    preset: Annotated[str, typer.Option(help=f"Ours, one of: {', '.join(p.name for p in PRESETS)}.")] = "balanced",
    sample: Annotated[int, typer.Option(min=1, help="Frames that are encoded, spread over the folder.")] = 12,
    seed: Annotated[int, typer.Option(help="Draws them.")] = 0,
    upload_as: Annotated[
        str,
        typer.Option("--upload", help="What devices upload: jpeg as captured, or webp:50, avif:40 at working size."),
    ] = "jpeg",
    object_db: Annotated[
        float | None, typer.Option(help="PSNR inside the boxes, in dB, asked of each image.", show_default=False)
    ] = None,
    background_db: Annotated[
        float | None, typer.Option(help="PSNR outside the boxes, in dB, likewise.", show_default=False)
    ] = None,
    model_bytes: Annotated[
        int | None,
        typer.Option(min=1, help="Of a model trained at the fog.", show_default="the reference detector's"),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of a training at the fog.")] = 20,
    clips: Annotated[bool, typer.Option("--clips", help="Neighbouring frames encoded together as well.")] = False,
    policy: Annotated[
        bool, typer.Option("--policy/--no-policy", help="The cheapest family for each image as well.")
    ] = True,
    plot: Annotated[Path | None, typer.Option(help="Write ratios over receivers here, as PNG.")] = None,
    jobs: Annotated[int, typer.Option(min=0, help="Processes that encode; 0: one a core.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Say what this saves on your own frames: bytes and time of a round, beside what else could be sent.

    A sample of the folder is encoded with ours. Of JPEG, WebP and AVIF, whole, reduced and two-stream, the cheapest
    files are searched whose mean object and background PSNR are no lower. Each is counted as the fog would send it,
    and beside them training at the fog with the model sent. It ends with a verdict: worth using, or what is instead.

    Example: rinr plan frames/ --devices 10 --radio 2MB/s --plot plan.png

    Exit codes: 0 planned, whatever the verdict; 1 failed, or nothing meets what was asked; 2 wrong usage.
    """
    if plot:
        _prepare(plot)
    try:
        ways = _ways(preset, Outcome(background_db, object_db), upload_as, clips, policy)
        speed, lost, wanted = rate(radio), part(loss, "loss"), part(share, "share")
        hearers = devices - 1 if receivers is None else receivers
        _exchange(1 if images is None else images, devices, hearers, wanted, lost, broadcast)
        with changing_bar() as tell:
            found = sample_folder(folder, sample, seed, lambda done, of: tell("reading frames", done, of))
    except (ValueError, FolderError) as error:
        raise fail(str(error), code=2) from None
    for told in found.left_out:
        note(f"left out: {told}")
    measured = _measured(found, ways, jobs or cores())
    exchange = _exchange(found.images if images is None else images, devices, hearers, wanted, lost, broadcast)
    setting = Setting(exchange, speed, cores(), model_bytes or _model_bytes(), epochs)
    made = make_plan(measured, setting)
    verdict = judge(made)
    if plot:
        title = f"{len(found.frames)} of {found.images:,} frames of {found.folders[0].path.resolve().name}"
        try:
            write_whole(plot, draw(made, title))
        except OSError as error:
            raise fail(f"cannot write the plot to {plot}: {error}") from None
    if as_json:
        print(json.dumps(document(made, verdict, str(folder))))
        return
    for each in tables(made, out.width):
        out.print(each)
    for line in footnotes(made):
        out.print(line, soft_wrap=True, style="dim")
    for line in verdict_lines(verdict):
        out.print(line, soft_wrap=True)
    if plot:
        out.print(f"ratios over receivers are in {plot}", soft_wrap=True)


def _ways(preset: str, outcome: Outcome, upload_as: str, clips: bool, policy: bool) -> Ways:
    ours = find_preset(preset)
    if ours.clip:
        raise ValueError(f"--preset {preset} encodes neighbouring frames together: give --clips beside another preset")
    if outcome.asks:
        check_searchable(ours)
    return Ways(
        ours=ours,
        outcome=outcome,
        upload=upload(upload_as),
        policy=_policy(outcome) if policy and not ours.policy else None,
        clips=find_preset("clip") if clips else None,
    )


def _policy(outcome: Outcome) -> Preset | None:
    """The preset that picks a family for each image, asked for the same; ``None`` where it cannot be."""
    if not outcome.asks:
        return CHEAPEST
    if outcome.object_db is None or outcome.background_db is None:
        return None  # it is asked for both or for neither
    return find_preset(f"{CHEAPEST.name}:{outcome.object_db:g}/{outcome.background_db:g}")


def _exchange(images: int, devices: int, receivers: int, share: float, loss: float, broadcast: bool) -> Exchange:
    try:
        return Exchange(images, devices, receivers, share, loss, broadcast)
    except ValueError as error:
        raise ValueError(f"--{error}") from None


def _measured(sample: FolderSample, ways: Ways, jobs: int) -> Survey:
    import torch

    torch.set_num_threads(1)  # seconds are those of one core
    try:
        with changing_bar() as tell, _encoder(jobs if len(sample.frames) >= _FRAMES_FOR_A_POOL else 1) as encode:
            return survey(sample, ways, tell, encode)
    except (NothingMeetsError, RuntimeError, FloatingPointError) as error:
        raise fail(str(error)) from None


@contextmanager
def _encoder(jobs: int) -> Iterator[Encode]:
    """Encodes here, or in so many processes."""
    if jobs == 1:
        yield encode_here
        return

    with EncoderPool(jobs) as pool:

        def encode(
            frames: Sequence[Frame], preset: Preset, outcome: Outcome | None, progress: Progress | None
        ) -> list[EncodedImage]:
            return pool.encode(frames, preset, outcome=outcome, progress=progress)

        yield encode


def _model_bytes() -> int | None:
    """Of the reference detector's file; ``None`` where that cannot be written here."""
    from rinr.training.detector import new_detector
    from rinr.training.model import write_model

    try:
        return len(write_model(new_detector(0)))
    except ImportError:
        note("training at the fog is left out: give --model-bytes, or pip install 'residual-inr[train]'")
        return None


def _prepare(plot: Path) -> None:
    """Fail before the work is done and not after it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise fail("--plot needs matplotlib: pip install 'residual-inr[train]'") from None
    if plot.is_dir():
        raise fail(f"--plot {plot} is a folder; give the name of a file", code=2)
