"""``rinr inspect``: what is inside payloads, byte by byte share."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from rinr.cli.console import FAILED, SOME_REFUSED, fail, note, out
from rinr.cli.store_access import open_store
from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import MAX_PART_BYTES, is_part
from rinr.codec.frame import MAX_PAYLOAD_BYTES
from rinr.inspection import (
    GroupReport,
    NetworkReport,
    PartReport,
    PayloadReport,
    PlaceReport,
    Share,
    inspect_part,
    inspect_payload,
)
from rinr.payload_folder import PART_SUFFIX, part_file

_MOST_NETWORKS = 40
"""Objects that the table lists; ``--json`` has them all."""


def inspect(
    payloads: Annotated[
        list[Path] | None, typer.Argument(help="Payload files (.rinr), shared parts (.rinrp), or folders of them.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="URL or folder of a weight store, with --image.")] = None,
    image: Annotated[str | None, typer.Option(help="Image id in the store, or how it starts.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a payload and line, instead of tables.")
    ] = False,
) -> None:
    """Say what is inside payloads: the share of every part in their bytes, the networks and how they are coded.

    Of frames of a clip it says where they lie in what the clip shares, and whether that is beside them.

    Ideal bytes are the code length of a network's weights under the models used, without any header.

    Exit codes: 0 all done; 1 failed: the one payload is malformed; 2 wrong usage; 3 done, but some were malformed.
    """
    if (store is None) == (not payloads) or (store is None) != (image is None):
        raise fail("give either payload files, or --store URL with --image ID", code=2)
    found = list(_stored(store, image) if store is not None and image is not None else _files(payloads or []))
    refused = 0
    for name, data in found:
        try:
            if isinstance(data, PayloadError):
                raise data
            report = inspect_part(data) if is_part(data) else inspect_payload(data)
        except PayloadError as error:
            if len(found) == 1:
                raise fail(f"{name}: {error}", FAILED) from None
            note(f"refused: {name}: {error}")
            refused += 1
            continue
        if as_json:
            print(json.dumps({"payload": name} | asdict(report)))
        elif isinstance(report, PartReport):
            _say_part(name, report)
        else:
            _say(name, report, Path(name).parent if payloads else None)
    if refused:
        raise typer.Exit(SOME_REFUSED)


def _files(given: Sequence[Path]) -> Iterator[tuple[str, bytes | PayloadError]]:
    for path in given:
        files = sorted([*path.rglob("*.rinr"), *path.rglob(f"*{PART_SUFFIX}")]) if path.is_dir() else [path]
        if not files:
            raise fail(f"{path} holds no .rinr file", code=2)
        for file in files:
            try:
                size = file.stat().st_size
                most = max(MAX_PAYLOAD_BYTES, MAX_PART_BYTES)
                too_many = PayloadError(f"frame payload: more than {most:,} bytes")
                yield str(file), too_many if size > most else file.read_bytes()
            except OSError as error:
                raise fail(f"{file} cannot be read: {error.strerror}; give .rinr files or folders of them", 2) from None


def _stored(url: str, image: str) -> Iterator[tuple[str, bytes]]:
    """Every row of an image: one an encoding."""
    opened = open_store(url)
    from storage.store import StoreError
    from storage.tables import IMAGES

    try:
        rows = opened.scan(IMAGES, ["image_id", "encoding_id", "preset", "payload"]).to_pylist()
    except StoreError as error:
        raise fail(str(error)) from None
    mine = [row for row in rows if row["image_id"].startswith(image)]
    if not mine:
        raise fail(f"the store {url} holds no image whose id starts with {image}")
    for row in mine:
        yield f"{row['image_id']} {row['preset']} {row['encoding_id']}", row["payload"]


def _say(name: str, report: PayloadReport, folder: Path | None) -> None:
    """One frame; what its clip shares should lie in ``folder``, or without one in the store."""
    kind = ", objects pasted" if report.pasted else ""
    boxes = sum(len(group.networks) for group in report.objects)
    out.print(
        f"[bold]{escape(name)}[/]: {report.bytes:,} bytes, format {report.version}, "
        f"{report.width}x{report.height}, {boxes} {'box' if boxes == 1 else 'boxes'}{kind}",
        soft_wrap=True,
    )
    if report.clip:
        out.print(escape(_of_a_clip(report.clip, folder)), soft_wrap=True)
    _say_shares(report.shares, report.bytes)
    _say_networks((*report.background, *report.objects))


def _say_part(name: str, report: PartReport) -> None:
    out.print(
        f"[bold]{escape(name)}[/]: {report.bytes:,} bytes that frames of a clip share, on a canvas of "
        f"{report.width}x{report.height}, SHA-256 {report.part_id}",
        soft_wrap=True,
    )
    _say_shares(report.shares, report.bytes)
    _say_networks(report.networks)


def _of_a_clip(place: PlaceReport, folder: Path | None) -> str:
    """Where a frame lies in what its clip shares, and whether that is there."""
    zoom, shift = "x".join(f"{each:.4g}" for each in place.zoom), "x".join(f"{each:+.4g}" for each in place.shift)
    said = f"of a clip: on its canvas at {shift} pixels from the middle, zoom {zoom}, frame number {place.time}; "
    if folder is None:
        return said + f"shared part {place.part}"
    file = folder / part_file(bytes.fromhex(place.part))
    if not file.exists():
        return said + f"what it shares is missing: copy {file.name} beside it to decode it"
    return said + f"{file.stat().st_size:,} bytes are shared, in {file.name}"


def _say_shares(found: Sequence[Share], total: int) -> None:
    shares = Table("part", show_edge=False, pad_edge=False)
    shares.add_column("bytes", justify="right")
    shares.add_column("share", justify="right")
    for share in found:
        shares.add_row(share.part, f"{share.bytes:,}", f"{share.bytes / total:.1%}")
    shares.add_section()
    shares.add_row("all", f"{total:,}", "100.0%")
    out.print(shares)


def _say_networks(groups: Sequence[GroupReport]) -> None:
    networks = Table("network", "label", "family", show_edge=False, pad_edge=False)
    networks.add_column("ideal bytes", justify="right")
    networks.add_column("what it is")
    listed = [(group, network) for group in groups for network in group.networks]
    listed.sort(key=lambda item: (item[1].box is not None, item[1].box) if item[1].box else (False, None))
    for group, network in listed[:_MOST_NETWORKS]:
        networks.add_row(*_network_row(group, network))
    out.print(networks)
    if len(listed) > _MOST_NETWORKS:
        out.print(f"and {len(listed) - _MOST_NETWORKS:,} networks more: --json lists them all")
    out.print()


def _network_row(group: GroupReport, network: NetworkReport) -> tuple[str, ...]:
    box, details = network.box, network.details
    words = [str(details["brief"])] if "brief" in details else []
    for name, form in (
        ("tiles", "{0[0]}x{0[1]} tiles"),
        ("waves", "{0[0]}x{0[1]} waves"),
        ("weights", "{0:,} weights"),
    ):
        if name in details:
            words.append(form.format(details[name]))
    for layer in details.get("layers", ()):
        words.append(f"{layer['ideal_bytes']:g} B at {layer['step']:g}")
    if "rates" in group.details:
        words.append("rates " + "/".join(str(value) for value in group.details["rates"].values()))
    return (
        "background" if box is None else f"{box.width}x{box.height} at {box.x},{box.y}",
        escape(box.label) if box else "",
        group.family,
        "–" if network.ideal_bytes is None else f"{network.ideal_bytes:,.1f}",
        ", ".join(words),
    )
