"""Relabelling: known images whose labels changed get a new source, and are not read again.

Here is also read what speaks of all pictures of a device, a COCO file or YOLO's class names: while that is broken or
being written, all of them wait.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from rinr.frames import PictureFacts, fit_annotations
from rinr.labels import ImageLabels, canonical_labels, labels_id
from storage.devices import DeviceFile, safe_spelling
from storage.intake.device_labels import CocoLabels, LabelFileError, PictureLabels, UnsettledError
from storage.intake.known_files import Rows
from storage.intake.outcomes import Outcome, broken_labels, may_be_written
from storage.intake.reading_ahead import in_order
from storage.intake.survey import Survey
from storage.intake.taking import annotated_size
from storage.intake.tally import CHUNK, Tally
from storage.quarantine import MAX_REASON, RETRY, closed, quarantine_path, refusal_of
from storage.tables import Refusal, Source, now

_HELD = "no image of the device is taken until it is repaired"


@dataclass(frozen=True)
class Relabelled:
    """What was done, in rows of what is known of the device.

    Attributes:
        written: rows that were written anew, with other labels.
        pending: rows whose labels have changed or may have.
        held: all pictures have to wait for what speaks of them.
    """

    written: Sequence[int] = ()
    pending: Rows | Sequence[int] = ()
    held: bool = False


def relabel(survey: Survey, take: Callable[[DeviceFile], Outcome], limit: int | None, tally: Tally) -> Relabelled:
    """Make labels ready for the fresh files, and write new sources of known images whose labels changed.

    Args:
        survey: of the device.
        take: takes a file whose picture has to say its size.
        limit: label files of single pictures to read at most.
        tally: where it is counted.

    Raises:
        StoreError: the store cannot be read or written.
    """
    if isinstance(survey.labels, CocoLabels):
        return _by_one_file(survey, survey.labels, tally)
    return _by_own_files(survey, survey.labels, take, limit, tally)


def may_relabel(survey: Survey) -> bool:
    """Whether :func:`relabel` has labels of known images to look at, judged by the listing alone."""
    labels = survey.labels
    if isinstance(labels, PictureLabels):
        return bool(_with_other_labels(survey, labels)[1])
    strays = survey.refused.of_no_file()
    if labels.state is None:
        return bool(closed(strays, ()))
    return bool(len(_to_compare(survey, labels.state)[1])) or _asked_again(survey, strays)


def _by_one_file(survey: Survey, labels: CocoLabels, tally: Tally) -> Relabelled:
    known, store = survey.known, tally.store
    strays = survey.refused.of_no_file()
    if labels.state is None:
        store.append(closed(strays, ()))
        return Relabelled()
    # All that is known is compared, and what changed is committed in one piece, before anything new is taken. So
    # one row that was read from this state of the file proves that all older rows have been compared with
    # it, and after a kill no table of its own has to say how far the last run came.
    stale, compared = _to_compare(survey, labels.state)
    if not (survey.fresh or len(compared) or _asked_again(survey, strays)):
        return Relabelled()
    refusals = _prepared(survey, labels, known.paths.to_pylist(), tally)
    if refusals is None:
        return Relabelled(held=True)
    tally.refuse(refusals)
    store.append(closed(strays, refusals))
    changed = [row for row in compared.tolist() if _labels_changed(survey, labels, row)]
    written = changed
    if len(stale) < len(known):
        written = compared.tolist()  # of a run that raced with another one: these say so themselves
    elif not changed:
        written = compared[-1:].tolist()  # one row says it for all
    sources = known.sources(store, np.asarray(written, dtype=np.int64))
    renewed = [_with_labels(source, labels, labels.read(source.path, None)) for source in sources]
    tally.new += min(store.append(renewed), len(changed))
    for source, anew in zip(sources, renewed, strict=True):
        if anew.labels_id != source.labels_id:
            tally.note(_notes(anew))
    return Relabelled(changed, changed)


def _to_compare(survey: Survey, state: str) -> tuple[Rows, Rows]:
    """Rows that were read from another state of the device's one label file; and those of them that count."""
    stale = survey.known.labels_to_compare(state)
    return stale, np.intersect1d(stale, survey.rows_as_taken)


def _with_other_labels(survey: Survey, labels: PictureLabels) -> tuple[Rows, dict[str, int]]:
    """Rows whose pictures' label files have changed; and by path those of them whose file is to be read."""
    known, rows = survey.known, survey.rows_as_taken
    paths = known.paths.take(pa.array(rows)).to_pylist()
    differing = rows[known.labels_differ(rows, [labels.state_of(path) for path in paths])]
    row_of: dict[str, int] = {}
    for row in differing.tolist():
        path = known.path(row)
        if (file := labels.file_of(path)) and not survey.refused.holds(file):
            row_of[path] = row
    return differing, row_of


def _asked_again(survey: Survey, strays: Sequence[Refusal]) -> bool:
    """Whether somebody asked for another look at labels that speak of no picture."""
    asked = [row.quarantined_at for row in strays if row.status == RETRY]
    taken = survey.known.last
    return bool(asked) and (taken is None or max(asked) > taken)


def _labels_changed(survey: Survey, labels: CocoLabels, row: int) -> bool:
    entry = labels.read(survey.known.path(row), None)
    return entry is not None and labels_id(entry.boxes) != survey.known.table["labels_id"][row].as_py()


def _by_own_files(
    survey: Survey, labels: PictureLabels, take: Callable[[DeviceFile], Outcome], limit: int | None, tally: Tally
) -> Relabelled:
    known = survey.known
    paths = known.paths.take(pa.array(survey.rows_as_taken)).to_pylist()
    differing, row_of = _with_other_labels(survey, labels)
    if not (survey.fresh or row_of):
        return Relabelled(pending=differing)
    refusals = _prepared(survey, labels, paths, tally)
    if refusals is None:
        return Relabelled(held=True)
    tally.store.append(closed(survey.refused.of_no_file(), refusals))
    listed = {file.path: file for file in survey.listing.pictures if file.path in row_of}

    def label_again(source: Source) -> Outcome:
        path = source.path
        if labels.needs_size and source.annotated_size is None:
            # Taken when the device's labels were none, or in another format: the picture has to say its size.
            if path in listed:
                return take(listed[path])
            note = f"{safe_spelling(path)}: its labels say nothing without the picture's size in pixels"
            return Outcome(notes=(note,))
        try:
            anew = _with_labels(source, labels, labels.read(path, source.annotated_size))
        except UnsettledError as error:
            note = f"{safe_spelling(path)}: its labels are left for the next run: {error}"
            return Outcome(notes=(note,), left=True)
        except LabelFileError as error:
            return broken_labels(survey.device, error, "the picture keeps the labels it has until then")
        return Outcome(anew, _notes(anew))

    written = []
    with closing(in_order(_sources(survey, tally, list(row_of.values())), label_again, limit)) as done:
        for source, outcome in done:
            # These pictures are known and stay so, whatever is the matter with their labels.
            tally.add(replace(outcome, waits=False, left=False))
            if isinstance(outcome.row, Source):
                written.append(row_of[source.path])
    tally.commit()
    return Relabelled(written, differing)


def _sources(survey: Survey, tally: Tally, rows: Sequence[int]) -> Iterator[Source]:
    for start in range(0, len(rows), CHUNK):
        yield from survey.known.sources(tally.store, np.asarray(rows[start : start + CHUNK], dtype=np.int64))


def _prepared(
    survey: Survey, labels: CocoLabels | PictureLabels, known: Sequence[str], tally: Tally
) -> list[Refusal] | None:
    """Read what speaks of all pictures; ``None``, with a note, where they have to wait for it."""
    file = labels.file if isinstance(labels, CocoLabels) else labels.classes_file
    if file and (held := survey.refused.holds(file)):
        tally.note([f"{held.reason[:MAX_REASON]}; {_HELD}"])
        return None
    try:
        return labels.prepare([jpeg.path for jpeg in survey.listing.pictures], known)
    except UnsettledError as error:
        name = safe_spelling(file.path if file else "")
        tally.note([f"{name}: left for the next run: {error}; no image of the device is taken before"])
    except LabelFileError as error:
        spelled = safe_spelling(error.path)
        if error.file and may_be_written(error.file, survey.device):
            tally.note([f"{spelled}: left for the next run: {error}, but it may still be written; {_HELD}"])
            return None
        reason = f"{error}; repair it: no image of the device is taken before"
        if error.file:
            refusal = refusal_of(survey.device.name, error.file, reason)
        else:
            refusal = Refusal(survey.device.name, quarantine_path(error.path), None, None, f"{spelled}: {reason}")
            tally.store.append(closed(survey.refused.of_no_file(), [refusal]))
        tally.refuse([refusal])
        tally.note([f"{spelled}: {error}; {_HELD}"])
    return None


def _with_labels(source: Source, labels: CocoLabels | PictureLabels, read: ImageLabels | None) -> Source:
    """The source with its labels of now, or with those it has where nothing speaks of it any more."""
    anew = replace(source, labels_state=labels.state_of(source.path), ingested_at=now())
    if read is None:
        return anew
    size = source.annotated_size if labels.needs_size else annotated_size(read)
    if source.captured_from != "exif" and read.captured_at:
        anew = replace(anew, captured_at=read.captured_at, captured_from="coco")
    return replace(
        anew,
        labels_id=labels_id(read.boxes),
        labels=canonical_labels(read.boxes).decode(),
        annotated_size=size,
        # The picture is not read again for its size: without an annotated one nothing is noted, and boxes are
        # still clipped when it is encoded.
        notes=fit_annotations(read, PictureFacts(size, 1, None))[1] if size else (),
    )


def _notes(source: Source) -> tuple[str, ...]:
    return tuple(f"{safe_spelling(source.path)}: {note}" for note in source.notes)
