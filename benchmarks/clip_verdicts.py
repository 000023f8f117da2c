"""What was promised of clips, judged by what was measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.clip_access import Access, at_most
from benchmarks.clip_report import AVIF, CLIPS, SINGLE, VIDEOS, Report
from benchmarks.video_codecs import CODECS

_JPEG_PART, _SINGLE_PART, _MOST, _ACCESS = 1 / 3, 0.6, 1.02, 1.5


_TIMES: tuple[tuple[str, Callable[[Access], float | None]], ...] = (
    ("loaded, in a batch", lambda access: access.batch),
    ("loaded", lambda access: access.loaded),
    ("from bytes", lambda access: access.milliseconds),
)


@dataclass(frozen=True)
class Verdict:
    """One promise; the measured value is a ratio, and less is better.

    Attributes:
        claim: in words.
        wanted: the most that keeps it.
        measured: ``None`` where it could not be measured.
        why: of which sequences, or why it was not measured.
    """

    claim: str
    wanted: float
    measured: float | None
    why: str

    @property
    def met(self) -> bool | None:
        """``None`` where it was not measured."""
        return None if self.measured is None else self.measured <= self.wanted

    def __str__(self) -> str:
        if self.measured is None:
            return f"{self.claim}: not measured ({self.why})"
        return (
            f"{self.claim}: {'met' if self.met else '**missed**'}, {self.measured:.3g} where at most {self.wanted:.3g} "
            f"is wanted, {self.measured / self.wanted:.2f} of it ({self.why})"
        )


def verdicts(reports: Sequence[Report]) -> list[Verdict]:
    """All promises of bytes and of random access over these sequences."""
    slow = [report for report in reports if report.slow]
    found = [
        _of("clips over two-stream JPEG at JPEG 5 + 75's PSNRs, median", _JPEG_PART, reports, _over_jpeg),
        _of("clips over our frames alone at their PSNRs, median", _SINGLE_PART, reports, _over_single),
        _of("clips over our frames alone, the worst sequence", _MOST, reports, _over_single, max),
        _of("clips over two-stream AVIF at our PSNRs, cameras that are slow, median", 1.0, slow, _over_avif),
        _of("clips over two-stream AVIF, cameras that are slow, the worst sequence", 1.0, slow, _over_avif, max),
    ]
    for video in VIDEOS:
        found.append(_of(f"clips over {video} at our PSNRs, median", 1.0, reports, _over(video)))
    for title, milliseconds in _TIMES:
        claim = f"a random frame of a clip over one that stands alone, {title}, times, median"
        found.append(_of(claim, _ACCESS, reports, partial(_alone, milliseconds=milliseconds)))
    for codec in CODECS:
        for title, milliseconds in _TIMES[::2]:
            claim = (
                f"a random frame of a clip, {title}, over one of {codec.name} at no more bytes or its fewest, median"
            )
            ratio = partial(_video_access, codec=codec.name, milliseconds=milliseconds)
            found.append(_of(claim, 1.0, reports, ratio))
    return found


def _of(
    claim: str,
    wanted: float,
    reports: Sequence[Report],
    ratio: Callable[[Report], float | None],
    over: Callable[[list[float]], float] = median,
) -> Verdict:
    known = {report.name: value for report in reports if (value := ratio(report)) is not None}
    if not known:
        return Verdict(claim, wanted, None, "no sequence has both")
    each = ", ".join(f"{name} {value:.2f}" for name, value in sorted(known.items(), key=lambda item: item[1]))
    kept = sum(value <= wanted for value in known.values())
    return Verdict(claim, wanted, over([*known.values()]), f"{kept} of {len(known)} keep it: {each}")


def _over_jpeg(report: Report) -> float | None:
    mine = report.at(CLIPS, report.reference)
    return mine / report.reference.bytes_a_frame if mine else None


def _over_single(report: Report) -> float | None:
    return report.ratio(CLIPS, SINGLE, report.own)


def _over_avif(report: Report) -> float | None:
    return report.ratio(CLIPS, AVIF, report.own)


def _over(name: str) -> Callable[[Report], float | None]:
    return lambda report: report.ratio(CLIPS, name, report.own)


def _access_of(report: Report, name: str) -> Access | None:
    return next((access for access in report.access if access.name == name), None)


def _alone(report: Report, milliseconds: Callable[[Access], float | None]) -> float | None:
    mine, theirs = ((each and milliseconds(each)) for each in (_access_of(report, CLIPS), _access_of(report, SINGLE)))
    return mine / theirs if mine and theirs else None


def _video_access(report: Report, codec: str, milliseconds: Callable[[Access], float | None]) -> float | None:
    """Against the video with the closest key frames that takes no more bytes than ours."""
    mine = _access_of(report, CLIPS)
    time = mine and milliseconds(mine)
    theirs = mine and at_most(report.access, codec, mine.bytes_a_frame)
    return time / theirs.milliseconds if time and theirs else None
