"""Finding clips: runs of one camera's frames that resemble each other, by time, size, likeness and motion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rinr.camera_motion import STILL, Brightness, Motion, Registered, register
from rinr.clip_canvas import canvas_of
from rinr.frames import Frame
from rinr.metrics import object_mask
from rinr.networks.settings import ClipSettings

_MOSTLY_BOXES = 0.7
"""Of a frame: where boxes cover more, what is left says too little of the camera's motion."""


@dataclass(frozen=True)
class Run:
    """Frames ``start`` to ``stop`` that may become a clip.

    Attributes:
        start: the first one.
        stop: the one after the last.
        begins: why the run begins with its first frame, in words.
        likeness: of each frame but the first to the one before, -1 to 1.
        motions: of each frame in the first one.
    """

    start: int
    stop: int
    begins: str
    likeness: tuple[float, ...] = ()
    motions: tuple[Motion, ...] = (STILL,)

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int, begins: str | None = None) -> "Run":
        """Frames ``start`` to ``stop`` of the run, counted from its first."""
        first = self.motions[start].inverse()
        return Run(
            self.start + start,
            self.start + stop,
            self.begins if begins is None else begins,
            self.likeness[start : stop - 1],
            tuple(first.after(motion) for motion in self.motions[start:stop]),
        )


def find_runs(
    frames: Sequence[Frame],
    times: Sequence[float | None],
    settings: ClipSettings,
    *,
    device: str = "cpu",
    on_frame: Callable[[], None] | None = None,
) -> list[Run]:
    """Cut the frames of one camera, in their order, into runs.

    Args:
        frames: of any sizes.
        times: in seconds, one a frame, where known. Equal and falling ones are no error: what lies further apart than
            the settings say, either way, ends a run.
        settings: when to cut.
        device: where to compare frames.
        on_frame: told of each frame that was looked at.

    Returns:
        Runs one after another that hold every frame. What comes later changes none but the last.
    """
    runs: list[Run] = []
    before: Brightness | None = None
    for index, frame in enumerate(frames):
        why = _apart(frames, times, index, settings)
        now = None if index and not why and _same(frames[index - 1], frame) else brightness(frame, device)
        if why or before is None:
            runs.append(Run(index, index + 1, why))
        else:
            found = register(now, before) if now else Registered(STILL, 1.0)
            if found.likeness < settings.least_likeness:
                runs.append(Run(index, index + 1, f"a cut: likeness {found.likeness:.2f} to the frame before"))
            else:
                runs[-1] = _longer(runs[-1], found)
        before = now or before
        if on_frame:
            on_frame()
    return [part for run in runs for part in _pieces(run, frames[run.start].size, settings)]


def unit(frame: Frame, device: str) -> Tensor:
    """``[3, height, width]``, 0 to 1."""
    return torch.tensor(frame.pixels, device=device, dtype=torch.float32).permute(2, 0, 1).contiguous() / 255


def outside(frame: Frame, device: str) -> Tensor | None:
    """Where no box is, ``[height, width]`` bool; ``None`` where boxes cover most of the frame, or there are none."""
    if not frame.boxes:
        return None
    mask = object_mask(frame.size, frame.boxes)
    return None if mask.mean() > _MOSTLY_BOXES else torch.from_numpy(~mask).to(device)


def brightness(frame: Frame, device: str) -> Brightness:
    """Of a frame, what moves by itself left out as far as boxes say."""
    return Brightness.of(unit(frame, device), outside(frame, device))


def _same(one: Frame, other: Frame) -> bool:
    return one.boxes == other.boxes and np.array_equal(one.pixels, other.pixels)


def _apart(frames: Sequence[Frame], times: Sequence[float | None], index: int, settings: ClipSettings) -> str:
    """Why a frame cannot be of one run with the frame before, in words; empty where it may."""
    if not index:
        return "the first frame"
    (width, height), now = frames[index - 1].size, frames[index].size
    if (width, height) != now:
        return f"frames of {now[0]}x{now[1]} pixels after {width}x{height}"
    one, other = times[index - 1], times[index]
    if one is not None and other is not None and abs(other - one) > settings.most_gap:
        return f"{abs(other - one):.1f} s {'after' if other > one else 'before'} the frame before"
    return ""


def _longer(run: Run, found: Registered) -> Run:
    motion = run.motions[-1].after(found.motion)
    return replace(run, stop=run.stop + 1, likeness=(*run.likeness, found.likeness), motions=(*run.motions, motion))


def _pieces(run: Run, size: tuple[int, int], settings: ClipSettings) -> list[Run]:
    """A run cut, from left to right, where it is as long as a clip may be or the camera leaves what a canvas holds."""
    pieces, start, why = [], 0, run.begins
    for stop in range(2, len(run) + 1):
        full = stop - start > settings.most_frames
        if full or canvas_of(run.part(start, stop).motions, size) is None:
            pieces.append(run.part(start, stop - 1, why))
            start, why = stop - 1, f"{settings.most_frames} frames at most" if full else "the camera has moved on"
    return [*pieces, run.part(start, len(run), why)]
