"""Asking by outcome: so many dB, at most so many bytes or seconds, and the search for the steps that give it.

What is searched is how coarse a preset's ``cosine`` networks are: the step of the background and that of the objects,
in sixteenths of an octave, as payloads write them. Targets in dB are met with the coarsest steps that meet them. What
no target is given for stays as the preset has it.

``max_bytes`` beside a target is a cap, and wins: first what has no target gives way, by up to two octaves, then
everything. ``max_bytes`` without any target is what there is to spend: steps are as fine as fits into it.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from rinr.codec.encoded import EncodedImage
from rinr.networks.settings import CosineSettings
from rinr.presets import CHEAPEST_GRAMMAR, PRESETS, ObjectClass, Preset

FINEST, COARSEST = 16, 192
"""Step codes that are tried: steps of 2 to 4,096 255ths of full scale."""

_GIVES_WAY = 32
"""Codes, two octaves, by which what has no target is coarsened before what has one."""

_DB_A_CODE = 0.15
_OCTAVES_A_CODE = 1 / 14
_CLOSE_DB, _CLOSE_OCTAVES = 0.03, 0.01
"""Met by no more than so much, a search ends: a code more would hardly save bytes."""

# Large tiles are for coarse steps: with 16 waves they hold no detail. Measured at equal bytes on UAV frames, tiles of
# 32 px gain 1.5 dB at a step of 120, and tiles of 16 px, which hold all there is, 3 dB at 60.
_TILES_BELOW = ((80, (16,)), (200, (32,)))
_FINER_TILES_TAKE = 4


@dataclass(frozen=True)
class Outcome:
    """What is asked of every image; ``None`` where nothing is.

    Attributes:
        background_db: PSNR outside the boxes, in dB, at least.
        object_db: PSNR over the union of the boxes, in dB, at least.
        max_bytes: of the frame payload.
        max_seconds: of one image's fit. What comes out then depends on the machine's speed.

    Raises:
        ValueError: a value that is not positive, or more dB than two equal pictures have.
    """

    background_db: float | None = None
    object_db: float | None = None
    max_bytes: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        for name, high in (("background_db", 100), ("object_db", 100), ("max_bytes", 1 << 40), ("max_seconds", 1e9)):
            value = getattr(self, name)
            if value is not None and not 0 < value <= high:
                raise ValueError(f"{name.replace('_', '-')} is {value:g}, expected more than 0 and at most {high:g}")

    @property
    def asks(self) -> bool:
        """Whether anything is asked."""
        return self != Outcome()

    def met_by(self, image: EncodedImage) -> bool:
        """Whether an image is within the bytes and, where it has such pixels, not below the dB."""
        pairs = ((self.background_db, image.background_db), (self.object_db, image.object_db))
        enough = all(asked is None or got is None or got >= asked for asked, got in pairs)
        return enough and (self.max_bytes is None or image.frame.bytes_total <= self.max_bytes)


def check_searchable(preset: Preset) -> None:
    """Refuse a preset whose networks have no step to search.

    Raises:
        ValueError: the message names presets that can be asked by outcome.
    """
    if preset.policy is not None:
        raise ValueError(f"preset {preset.name!r} is asked for dB by its name alone: {CHEAPEST_GRAMMAR}")
    if not _searchable(preset):
        able = ", ".join(p.name for p in PRESETS if _searchable(p))
        raise ValueError(
            f"preset {preset.name!r} cannot be asked by outcome: its networks are not all of the family cosine, whose "
            f"step is what is searched; presets that can: {able}"
        )


def reach(
    outcome: Outcome,
    preset: Preset,
    trial: Callable[[Preset], EncodedImage],
    clock: Callable[[], float] = time.perf_counter,
) -> EncodedImage:
    """Encode one image as asked.

    Args:
        outcome: what is asked.
        preset: where the search starts; see :func:`check_searchable`.
        trial: encodes the image with another preset.
        clock: seconds, for ``max_seconds``.

    Returns:
        Of all trials the one that comes nearest: within the bytes before all, then within the dB, then with the fewest
        bytes. Its ``stopped`` says what was reached and what was not.
    """
    search = _Search(outcome, preset, trial, clock)
    try:
        search.run()
    except _OutOfTimeError:
        search.out_of_time = True
    best = min(search.done.values(), key=search.rank)
    return replace(best, stopped=search.words(best))


class _OutOfTimeError(Exception):
    """The time budget is spent."""


class _Search:
    def __init__(
        self,
        outcome: Outcome,
        preset: Preset,
        trial: Callable[[Preset], EncodedImage],
        clock: Callable[[], float],
    ) -> None:
        self.outcome, self.preset, self.trial, self.clock = outcome, preset, trial, clock
        self.started = clock()
        self.start = _step_codes(preset)
        self.done: dict[tuple[int, int], EncodedImage] = {}
        self.seconds: dict[int, float] = {}  # of the last trial by its smallest tile, which is what it depends on
        self.out_of_time = self.capped = False

    def run(self) -> None:
        background, objects = self.start
        first = self.encoded(background, objects)
        if first.background_db is not None and self.outcome.background_db is not None:
            background = self.background_for(objects)
        if self.has_object_target:
            objects = self.objects_for(background, objects)
        self.keep_within_bytes(background, objects)

    def encoded(self, background: int, objects: int) -> EncodedImage:
        """The image at two step codes, encoded once."""
        codes = _clamp(background), _clamp(objects)
        if codes not in self.done:
            preset = _with_step_codes(self.preset, *codes)
            tile, began = min(_cosine(preset.background).tiles), self.clock()
            if self.done and self.outcome.max_seconds is not None:
                # A trial is not broken off: one that would probably end too late is not begun.
                expected = self.seconds.get(tile, _FINER_TILES_TAKE * max(self.seconds.values()))
                if began - self.started + expected > self.outcome.max_seconds:
                    raise _OutOfTimeError
            self.done[codes] = self.trial(preset)
            self.seconds[tile] = self.clock() - began
        return self.done[codes]

    @property
    def has_object_target(self) -> bool:
        first = self.done[_clamp(self.start[0]), _clamp(self.start[1])]
        return first.object_db is not None and self.outcome.object_db is not None

    def background_for(self, objects: int) -> int:
        def excess(code: int) -> float:
            return (self.encoded(code, objects).background_db or 0) - (self.outcome.background_db or 0)

        return _coarsest(excess, self.start[0], _DB_A_CODE, _CLOSE_DB, FINEST, COARSEST)

    def objects_for(self, background: int, start: int) -> int:
        def excess(code: int) -> float:
            return (self.encoded(background, code).object_db or 0) - (self.outcome.object_db or 0)

        return _coarsest(excess, start, _DB_A_CODE, _CLOSE_DB, FINEST, COARSEST)

    def keep_within_bytes(self, background: int, objects: int) -> None:
        """Coarsen what the targets gave until it fits, or spend the bytes where there is no target."""
        cap, outcome = self.outcome.max_bytes, self.outcome
        if cap is None:
            return
        aimed = outcome.background_db is not None, self.has_object_target
        spending = not any(aimed)
        if not spending and self.encoded(background, objects).frame.bytes_total <= cap:
            return
        self.capped = True

        def at(coarser: int) -> EncodedImage:
            gives = min(coarser, _GIVES_WAY)
            if aimed == (False, True) and coarser <= _GIVES_WAY:
                return self.encoded(background + gives, self.objects_for(background + gives, objects))
            first = coarser - gives if aimed == (True, False) else coarser
            second = coarser - gives if aimed == (False, True) else coarser
            return self.encoded(background + first, objects + second)

        def excess(finer: int) -> float:
            return -math.log2(at(-finer).frame.bytes_total / cap)

        # _coarsest looks for the largest code with enough of something that falls: here the least coarsening, negated.
        lowest = -(COARSEST - FINEST) - _GIVES_WAY
        highest = COARSEST - FINEST if spending else 0
        _coarsest(excess, 0, _OCTAVES_A_CODE, _CLOSE_OCTAVES, lowest, highest)

    def rank(self, image: EncodedImage) -> tuple[float, float, float]:
        """Smaller is better."""
        size, cap = image.frame.bytes_total, self.outcome.max_bytes
        over = max(size - cap, 0) if cap is not None else 0
        short = sum(max(target - got, 0) for _, target, got in self.targets(image))
        # Without a target, more bytes are a better picture: unless time ran out, there are only trials of the preset.
        return over, short, size if self.outcome.background_db or self.outcome.object_db else -size

    def targets(self, image: EncodedImage) -> list[tuple[str, float, float]]:
        """Name, what was asked and what was got, in dB, where the image has such pixels."""
        pairs = (
            ("background-db", self.outcome.background_db, image.background_db),
            ("object-db", self.outcome.object_db, image.object_db),
        )
        return [(name, asked, got) for name, asked, got in pairs if asked is not None and got is not None]

    def words(self, image: EncodedImage) -> str:
        outcome, size = self.outcome, image.frame.bytes_total
        words = [f"max-seconds {outcome.max_seconds:g}"] if self.out_of_time else []
        if outcome.max_bytes is not None and size > outcome.max_bytes:
            least = "" if self.out_of_time else ", least possible"
            words.append(f"max-bytes {outcome.max_bytes} not met{least}: {size} bytes")
        elif self.capped:
            words.append(f"max-bytes {outcome.max_bytes}")
        for name, asked, got in self.targets(image):
            if got >= asked:
                words.append(f"{name} {asked:g} reached")
            elif self.capped or self.out_of_time:
                words.append(f"{name} {asked:g} not reached: {got:.1f} dB")
            else:
                words.append(f"{name} {asked:g} not reached, best possible: {got:.1f} dB at the finest step")
        return "; ".join(words) or "preset"


def _coarsest(excess: Callable[[int], float], start: int, slope: float, close: float, low: int, high: int) -> int:
    """The largest code in ``low ... high`` whose excess, which falls by about ``slope`` a code, is not negative.

    ``low`` where none is. By regula falsi, and halving where that is slow.
    """
    met: tuple[int, float] | None = None
    failed: tuple[int, float] | None = None
    code = min(max(start, low), high)
    farthest = 1
    for number in range(64):
        value = excess(code)
        if value >= 0:
            met = code, value
            if value <= close or code == high:
                return code
        else:
            failed = code, value
            if code == low:
                return code
        if met and failed:
            if failed[0] - met[0] <= 1:
                return met[0]
            share = met[1] / (met[1] - failed[1]) if number % 3 else 0.5
            code = met[0] + round(share * (failed[0] - met[0]))
            code = min(max(code, met[0] + 1), failed[0] - 1)
        else:
            farthest = max(int(abs(value) / slope) + 1, 2 * farthest if number > 1 else 1)
            code = min(max(code + (farthest if value >= 0 else -farthest), low), high)
    return met[0] if met else low


def _searchable(preset: Preset) -> bool:
    settings = (preset.background, *(c.network for c in preset.objects))
    return preset.policy is None and all(isinstance(each, CosineSettings) for each in settings)


def _step_codes(preset: Preset) -> tuple[int, int]:
    """Of the background, and of the largest objects."""
    return _cosine(preset.background).step_code, _cosine(preset.objects[-1].network).step_code


def _with_step_codes(preset: Preset, background: int, objects: int) -> Preset:
    """The preset with other steps; all classes of objects are moved alike."""
    start, moved = _step_codes(preset), []
    for one in preset.objects:
        network = _cosine(one.network)
        step = _step(_clamp(network.step_code + objects - start[1])) if objects != start[1] else network.step
        moved.append(ObjectClass(one.max_area, replace(network, step=step)))
    settings = _cosine(preset.background)
    if background != start[0]:
        settings = replace(settings, step=_step(background))
        tiles = next((tiles for below, tiles in _TILES_BELOW if settings.step < below), settings.tiles)
        settings = replace(settings, tiles=tiles if max(tiles) < max(settings.tiles) else settings.tiles)
    return replace(preset, background=settings, objects=tuple(moved))


def _cosine(settings: object) -> CosineSettings:
    assert isinstance(settings, CosineSettings), "see check_searchable"
    return settings


def _clamp(code: int) -> int:
    return min(max(code, FINEST), COARSEST)


def _step(code: int) -> float:
    return float(2 ** (code / 16))
