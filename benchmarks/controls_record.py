"""What `benchmarks.controls` found, as values of a record and as the tables that are made of those."""

from collections.abc import Mapping

from benchmarks.records import Value

HEAD = (
    "| `{}` | bytes | dB | cheapest control no worse in both | bytes | dB | ours / control |\n"
    "|---|---|---|---|---|---|---|"
)
OVER_ALL = {"mean": "**all, mean**", "median": "**all, median**"}


def folder_names(values: Mapping[str, Value], preset: str) -> list[str]:
    """The names under which folders' values stand, in their order."""
    start, end = f"{preset}.folder.", ".name"
    return [name[len(start) : -len(end)] for name in values if name.startswith(start) and name.endswith(end)]


def presets_of(values: Mapping[str, Value]) -> list[str]:
    """The presets that were set beside controls."""
    return [name.partition(".")[0] for name in values if name.endswith(".mean.bytes")]


def table(values: Mapping[str, Value], preset: str) -> str:
    """Ours of one preset beside the cheapest control that is no worse, over all frames and folder by folder."""
    lines = [HEAD.format(preset)]
    lines += [f"| {title} | {_line(values, f'{preset}.{name}')}" for name, title in OVER_ALL.items()]
    for name in folder_names(values, preset):
        lines.append(f"| {values[f'{preset}.folder.{name}.name']} | {_line(values, f'{preset}.folder.{name}')}")
    return "\n".join(lines)


def summary(values: Mapping[str, Value], preset: str) -> str:
    """How many folders are won, and what fixed controls take."""
    said = [
        f"Median over folders: {values[f'{preset}.folders.median_ratio']:.2f} of the cheapest control; below it in "
        f"{values[f'{preset}.folders.below']} of {values[f'{preset}.folders.count']}."
    ]
    start, end = f"{preset}.fixed.", ".words"
    for found in values:
        if found.startswith(start) and found.endswith(end):
            one = {key: values[f"{found[: -len(end)]}.{key}"] for key in _FIXED}
            said.append(
                f"Against {one['words']} ({one['bytes']:,.0f} bytes, {one['background_db']:.2f} / "
                f"{one['object_db']:.2f} in the mean): {one['mean_ratio']:.2f} of its mean bytes, "
                f"{one['median_ratio']:.2f} in the median over frames, PSNR {one['background_gain_db']:+.2f} / "
                f"{one['object_gain_db']:+.2f} dB."
            )
    return "\n".join(said)


def neural_table(values: Mapping[str, Value]) -> str:
    """Ours beside one network for the whole frame, and beside pasted object networks, at no fewer bytes."""
    lines = [
        "| ours | frames | ours, dB | `rapid` | `direct` | object PSNR over `rapid` | over `direct` |",
        "|---|---|---|---|---|---|---|",
    ]
    for preset in presets_of(values):
        cells = [_pair(values, f"{preset}.neural.{name}") for name in ("ours", "rapid", "direct")]
        gains = [f"{values[f'{preset}.neural.{name}.gain_db']:+.2f} dB" for name in ("rapid", "direct")]
        head = f"`{preset}`, {values[f'{preset}.neural.ours.bytes']:,.0f} bytes | {values[f'{preset}.neural.frames']}"
        lines.append(f"| {head} | {' | '.join(cells + gains)} |")
    return "\n".join(lines)


_FIXED = (
    *("words", "bytes", "background_db", "object_db"),
    *("mean_ratio", "median_ratio", "background_gain_db", "object_gain_db"),
)


def _line(values: Mapping[str, Value], of: str) -> str:
    own = f"{values[f'{of}.bytes']:,.0f} | {_pair(values, of)}"
    if values[f"{of}.ratio"] is None:
        return f"{own} | none in the grid | – | – | – |"
    theirs = f"{values[f'{of}.control']} | {values[f'{of}.control_bytes']:,.0f} | {_pair(values, f'{of}.control')}"
    return f"{own} | {theirs} | {values[f'{of}.ratio']:.2f} |"


def _pair(values: Mapping[str, Value], of: str) -> str:
    joint = "_" if of.endswith(".control") else "."
    pair = (values[f"{of}{joint}background_db"], values[f"{of}{joint}object_db"])
    return " / ".join("–" if db is None else f"{db:.2f}" for db in pair)
