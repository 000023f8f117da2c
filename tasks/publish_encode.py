"""What a run of encoding leaves to look at."""

from prefect import task

from storage.quarantine import cases
from storage.tables import Summary as StoreSummary
from tasks.artifacts import Cell, Summary, publish_summary, publish_table
from tasks.encode import encoding_of
from tasks.ending import NOTHING_NEW
from tasks.stages import rate, seconds_so_far
from tasks.stores import open_store


def encoding_sentence(added: int, preset: str) -> str:
    """What was done, in a line."""
    return f"{added:,} images encoded as {preset}" if added else NOTHING_NEW


@task(task_run_name="publish bytes and PSNR")
def publish_encoded(store: str, preset: str, added: int) -> None:
    """A summary, and a table of what the store holds of one encoding.

    Args:
        store: its URL.
        preset: the preset's name.
        added: rows that this run committed.
    """
    opened = open_store(store)
    held = opened.summary(encoding_of(preset))
    open_cases = sum(case.standing == "open" for case in cases(opened))
    missing = opened.count_missing(encoding_of(preset))
    summary = encoding_summary(held, preset, added, missing, open_cases, seconds_so_far())
    publish_summary("encode", "What was encoded", summary)
    each = max(held.images, 1)
    rows: list[dict[str, Cell]] = [{"what": "images", "all": held.images, "an image": None}]
    for what, total in (
        ("bytes in all", held.bytes_total + held.bytes_shared),
        ("bytes of backgrounds", held.bytes_background),
        ("bytes of objects", held.bytes_objects),
        ("bytes of headers, boxes and labels", held.bytes_overhead),
        ("bytes that clips' frames share", held.bytes_shared),
    ):
        rows.append({"what": what, "all": total, "an image": round(total / each)})
    rows.append({"what": "PSNR outside the boxes, dB", "all": None, "an image": held.background_db})
    rows.append({"what": "PSNR inside the boxes, dB", "all": None, "an image": held.object_db})
    publish_table("bytes-and-psnr", f"What the store holds in the preset {preset!r}", rows)


def encoding_summary(
    held: StoreSummary, preset: str, added: int, missing: int, open_cases: int, seconds: float
) -> Summary:
    """What was done, what it cost and what is left, in lines of Markdown.

    Args:
        held: of this encoding, now.
        preset: the preset's name.
        added: rows that the run committed.
        missing: images without a row of this encoding.
        open_cases: of the whole quarantine.
        seconds: that the run took.
    """
    left = [f"{missing:,} images have no row of this encoding"] if missing else []
    if open_cases:
        left.append(f"{open_cases:,} refused in the quarantine: `rinr quarantine list` says why")
    mean = (held.bytes_total + held.bytes_shared) / max(held.images, 1)
    return Summary(
        did=[f"{added:,} images encoded with `{preset}`"],
        cost=[rate(added, seconds), f"{mean:,.0f} bytes an image in the mean of {held.images:,}"],
        left=left,
    )
