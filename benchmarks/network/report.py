"""The figures of a run as flat values, and the tables that are made from them."""

from collections.abc import Mapping
from typing import Any

from benchmarks.network.measured import Measured
from benchmarks.records import Value

DIRECT = "jpeg_direct"
"""Device to device, against which all ratios are."""

TITLES = {
    DIRECT: "captured JPEGs, device to device",
    "jpeg_fog": "captured JPEGs, relayed by the fog node",
    "balanced": "`balanced`",
    "best_control": "best codec control as good as `balanced`",
    "cheapest": "`cheapest`: each image by the family that takes fewest bytes",
    "cheapest_best_control": "best codec control as good as `cheapest`",
    "fine": "`fine`, near the paper's 34.6 / 35.7 dB",
    "fine_best_control": "best codec control as good as `fine`",
    "siren": "`siren`",
    "siren_best_control": "best codec control as good as `siren`",
    "paper": "the paper's shapes, entropy coded",
    "paper_best_control": "best codec control as good as those",
    "shrunk": "`balanced`, uploads shrunk at the device",
    "shrunk_best_control": "best codec control as good, uploads shrunk",
}
"""Ways in the order of the table."""

CONTROLS = {name: "best_control" if name == "balanced" else f"{name}_best_control" for name in TITLES}


def of_way(measured: Measured, direct: Measured, *, part: float = 1.0) -> dict[str, Value]:
    """Values of one way.

    Args:
        measured: it.
        direct: the captured JPEGs, device to device.
        part: how much of the captured bytes of ``direct`` this way's frames have.
    """
    crossed = measured.crossed
    base, base_files = direct.crossed.wire.total * part, direct.crossed.files.total * part
    values: dict[str, Value] = {
        "ratio": base / crossed.wire.total,
        "ratio_files": base_files / crossed.files.total,
        "frames": measured.frames,
        "bytes": crossed.wire.total,
        "bytes_up": crossed.wire.up,
        "bytes_down": crossed.wire.down,
        "files_up": crossed.files.up,
        "files_down": crossed.files.down,
        "program_up": measured.program.up,
        "program_down": measured.program.down,
        "disagreement": measured.disagreement,
        "again": crossed.again.total,
        "ssh": crossed.ssh,
        "ssh_connections": crossed.ssh_connections,
        "http_headers": crossed.http_headers,
        "http_answers": crossed.http_answers,
        "http_requests": crossed.http_requests,
        "overhead_share": crossed.overhead / crossed.wire.total,
        "seconds": measured.seconds,
        "upload_seconds": measured.upload_seconds,
        "deliver_seconds": measured.deliver_seconds,
    }
    if measured.payload_bytes is not None:
        values |= {
            "frame_bytes": measured.payload_bytes / measured.frames,
            "relative_size": measured.payload_bytes / measured.captured_bytes,
            "fit_seconds": measured.fit_seconds,
            "background_db": measured.background_db,
            "object_db": measured.object_db,
        }
    return values


def table(values: Mapping[str, Any], prefix: str = "") -> str:
    """The ways of one set of frames, as Markdown; ways that were not measured say so.

    Args:
        values: of the record.
        prefix: before the ways' names: empty, or ``sets.otb.``.
    """
    lines = [
        "| | up, MB | down, MB | all, MB | against device to device | of files alone | against the control | "
        "seconds | B a frame | dB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        said = title
        if f"{prefix}{name}.preset" in values:
            said += f", {values[f'{prefix}{name}.preset']}"
        if f"{prefix}{name}.uploads" in values:
            said += f" ({values[f'{prefix}{name}.uploads']})"
        if f"{prefix}{name}.mixture" in values:
            said += f" ({values[f'{prefix}{name}.mixture']})"
        if f"{prefix}{name}.bytes" not in values:
            if not prefix and not name.endswith("_best_control"):
                lines.append(f"| {said} | not measured |" + " |" * 8)
            continue
        cells = [
            _megabytes(values, f"{prefix}{name}.bytes_up"),
            _megabytes(values, f"{prefix}{name}.bytes_down"),
            _megabytes(values, f"{prefix}{name}.bytes"),
            _number(values, f"{prefix}{name}.ratio", ".2f", "x"),
            _number(values, f"{prefix}{name}.ratio_files", ".2f", "x"),
            _number(values, f"{prefix}{name}.over_best_control", ".2f", "x"),
            _number(values, f"{prefix}{name}.seconds", ".0f"),
            _number(values, f"{prefix}{name}.frame_bytes", ",.0f"),
            _decibels(values, f"{prefix}{name}."),
        ]
        lines.append(f"| {said} | {' | '.join(cells)} |")
    return "\n".join(lines)


def overhead_table(values: Mapping[str, Any], prefix: str = "") -> str:
    """What was counted by whom, as Markdown: links, servers, and the program itself."""
    lines = [
        "| | sockets | files, by the servers | by the program | differ by | SSH (connections) | "
        "HTTP headers (requests) | HTTP answers | sent again |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        if f"{prefix}{name}.bytes" not in values:
            continue
        of = {key: values.get(f"{prefix}{name}.{key}") or 0 for key in _COUNTED}
        files, program = of["files_up"] + of["files_down"], of["program_up"] + of["program_down"]
        lines.append(
            f"| {title} | {of['bytes']:,.0f} | {files:,.0f} | {program:,.0f} | {of['disagreement']:.3%} | "
            f"{of['ssh']:,.0f} ({of['ssh_connections']:,.0f}) | "
            f"{of['http_headers']:,.0f} ({of['http_requests']:,.0f}) | {of['http_answers']:,.0f} | {of['again']:,.0f} |"
        )
    return "\n".join(lines)


_COUNTED = (
    "bytes", "files_up", "files_down", "program_up", "program_down", "disagreement", "ssh", "ssh_connections",
    "http_headers", "http_requests", "http_answers", "again",
)  # fmt: skip


def _megabytes(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return "–" if value is None else f"{value / 1e6:.2f}"


def _number(values: Mapping[str, Any], name: str, form: str, after: str = "") -> str:
    value = values.get(name)
    return "–" if value is None else f"{value:{form}}{after}"


def _decibels(values: Mapping[str, Any], prefix: str) -> str:
    found = [values.get(f"{prefix}{name}") for name in ("background_db", "object_db")]
    return "–" if found == [None, None] else " / ".join("–" if one is None else f"{one:.2f}" for one in found)
