"""The table of `benchmarks.decode_speed`, made of the values of its record."""

from collections.abc import Mapping

from benchmarks.records import Value


def table(values: Mapping[str, Value]) -> str:
    """Processor time a frame, and what it is of Pillow's ways to read the captured JPEG."""
    lines = ["| | CPU ms a frame | against `draft` | against full decode + LANCZOS |", "|---|---|---|---|"]
    for name in values:
        if name.endswith(".name"):
            of = name.removesuffix(".name")
            cells = (values[f"{of}.{part}"] for part in ("cpu_ms", "cpu_over_draft", "cpu_over_full"))
            lines.append(f"| {values[name]} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")
    return "\n".join(lines)
