"""``rinr device shrink``: captures made small before they are uploaded."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rinr.cli.console import SOME_REFUSED, changing_bar, escaped, exit_code_of, fail, note, out, stoppable

if TYPE_CHECKING:
    from device.shrinking import ShrinkReport

_CODECS, _FORMATS = ("webp", "avif"), ("coco", "yolo", "voc")


def shrink(
    captures: Annotated[Path, typer.Argument(help="Folder of captured pictures and their labels; it is only read.")],
    uploads: Annotated[Path, typer.Argument(help="Folder of what is uploaded: `storage` of the device.")],
    codec: Annotated[str, typer.Option(help="webp or avif.")] = "avif",
    quality: Annotated[int, typer.Option(min=1, max=100, help="The codec's own.")] = 90,
    labels: Annotated[str, typer.Option(help="Their format: coco, yolo or voc, where the format usually has them.")] = (
        "coco"
    ),
    every: Annotated[
        float | None, typer.Option(min=1, max=86_400, help="Seconds until the captures are looked at again; else once.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """Shrink new captures to what the fog node can use, at most 640 pixels wide, and carry their labels along.

    Captures stay as they are. What was done is not done again; corrected labels follow; killed at any moment, the next
    run does what is left.

    Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but some captures cannot be read; 130 and 143 interrupted.
    """
    from device.shrinking import ShrinkError
    from storage.fleet import LabelsPlace, Uploads

    if codec not in _CODECS or labels not in _FORMATS:
        given, known = (codec, _CODECS) if codec not in _CODECS else (labels, _FORMATS)
        raise fail(f"{given!r} is not known; choose one of {', '.join(known)}", code=2)
    settings = Uploads.model_validate({"codec": codec, "quality": quality})
    place = LabelsPlace.model_validate({"format": labels})
    try:
        with stoppable():
            while True:
                report = _run(captures, uploads, settings, place, as_json)
                if every is None:
                    break
                time.sleep(every)
    except ShrinkError as error:
        raise fail(str(error)) from None
    except KeyboardInterrupt as stop:
        note("stopped; the same command goes on from here")
        raise typer.Exit(exit_code_of(stop)) from None
    if report.left:
        raise typer.Exit(SOME_REFUSED)


def told(report: "ShrinkReport") -> str:
    """A run in words."""
    written = report.shrunk + report.as_captured
    text = f"{report.captured:,} capture{'' if report.captured == 1 else 's'}: {report.shrunk:,} shrunk"
    text += f", {report.as_captured:,} as they are" if report.as_captured else ""
    text += f", {report.known:,} done before" if report.known else ""
    text += f", {report.left:,} left" if report.left else ""
    if written:
        share = report.bytes_uploaded / max(report.bytes_captured, 1)
        text += f"; {report.bytes_captured:,} bytes became {report.bytes_uploaded:,} ({100 * share:.1f} %)"
    return text + ("; labels written" if report.labels else "")


def _run(captures: Path, uploads: Path, settings: Any, place: Any, as_json: bool) -> "ShrinkReport":
    from device.shrinking import shrink

    if as_json:
        report = shrink(captures, uploads, settings, place)
        print(json.dumps(asdict(report)), flush=True)
        return report
    with changing_bar() as tell:
        report = shrink(captures, uploads, settings, place, tell)
    out.print(escaped(told(report)), soft_wrap=True)
    for sentence in report.notes:
        note(sentence)
    return report
