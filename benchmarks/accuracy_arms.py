"""The arms of the experiment: in which form new pictures arrive, and how they are trained on.

An arm is written ``BASE[@CHANGE...]``::

    a        captured JPEGs
    b        networks, preset `balanced`
    c        the background networks of b alone, without objects
    d-jpeg   two-stream JPEG of the bytes of b, sequence by sequence; so d-webp, d-avif
    d-rapid  one network for the whole frame, without objects, of the bytes of b
    e        nothing: the pre-trained detector as it is
    PRESET   any other preset, of networks or of codecs: siren, small, fine, webp:10/4+60

Changes are remedies that were tried. Of what is sent (bytes are counted with them): ``margin`` enlarges the boxes of
object networks, ``decoys`` gives as many boxes without any object a network of their own, ``sharp`` halves the objects'
step, ``shrunk`` encodes from uploads that were shrunk at the device. Of training, which costs no bytes: ``dropped``
shows half of the pictures without their objects' networks, ``patched`` pastes patches of the pre-training's pictures,
``blurred`` shrinks and enlarges some, ``mixed`` adds the pictures of the pre-training, ``full`` decodes at the working
size and then shrinks, as is done with JPEGs.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from device.shrinking import shrunk_picture
from rinr.boxes import Box
from rinr.frames import Frame, Photo, open_picture
from rinr.networks.settings import CosineSettings
from rinr.presets import BALANCED, Preset, find_preset
from storage.fleet import Uploads

CAPTURED, NOTHING, BACKGROUNDS, OURS = "a", "e", "c", "b"
SAME_BYTES = ("d-jpeg", "d-webp", "d-avif", "d-rapid")
CHANGES = ("margin", "decoys", "sharp", "shrunk", "mixed", "dropped", "patched", "blurred", "full")
_OF_WHAT_IS_SENT = frozenset({"margin", "decoys", "sharp", "shrunk"})

UPLOADED = Uploads()
"""How ``shrunk`` shrinks."""

MARGIN, LEAST_MARGIN = 0.35, 4
"""What ``margin`` adds at each side of a box: a share of the side, and pixels at least."""


@dataclass(frozen=True)
class Arm:
    """One way for new pictures to arrive.

    Attributes:
        base: see the module.
        changes: sorted as in ``CHANGES``.
    """

    base: str
    changes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As it is written."""
        return "@".join((self.base, *self.changes))

    @property
    def sent(self) -> "Arm":
        """The arm whose payloads this one trains on."""
        return replace(self, changes=tuple(change for change in self.changes if change in _OF_WHAT_IS_SENT))

    @property
    def preset(self) -> Preset | None:
        """Of what is sent; ``None`` for JPEGs, nothing, and what is chosen by the bytes of another arm."""
        if self.base in (CAPTURED, NOTHING, *SAME_BYTES):
            return None
        preset = BALANCED if self.base in (OURS, BACKGROUNDS) else find_preset(self.base)
        if self.base == BACKGROUNDS:
            preset = replace(preset, name="backgrounds", objects=())
        return _sharp(preset) if "sharp" in self.changes else preset

    def source(self, frame: Frame) -> Frame:
        """What is encoded of a frame: its pixels as they were uploaded, and the boxes that get networks, which are not
        always the ones to learn."""
        if "shrunk" in self.changes:
            upload = shrunk_picture(Photo(frame.pixels, 1, None), UPLOADED.codec, UPLOADED.quality)
            frame = replace(frame, pixels=open_picture(upload).pixels)
        if "margin" in self.changes:
            frame = replace(frame, boxes=tuple(sorted(_enlarged(box, frame.size) for box in frame.boxes)))
        if "decoys" in self.changes:
            frame = replace(frame, boxes=tuple(sorted((*frame.boxes, *_decoys(frame)))))
        return frame


def parse(name: str) -> Arm:
    """An arm by its name.

    Raises:
        ValueError: there is no such base or change; the message lists those there are.
    """
    base, *changes = name.split("@")
    arm = Arm(base, tuple(change for change in CHANGES if change in changes))
    if unknown := [change for change in changes if change not in CHANGES]:
        raise ValueError(f"arm {name!r}: no change is named {', '.join(unknown)}; there are {', '.join(CHANGES)}")
    try:
        preset = arm.preset
    except ValueError as error:
        raise ValueError(f"arm {name!r} is none of a, b, c, {', '.join(SAME_BYTES)}, e, and {error}") from None
    if preset is None and arm.sent.changes:
        raise ValueError(f"arm {name!r} sends no networks that {', '.join(arm.sent.changes)} could change")
    if "dropped" in arm.changes and base in (CAPTURED, NOTHING, BACKGROUNDS):
        raise ValueError(f"arm {name!r} has no objects' networks that could be dropped")
    return arm


def _sharp(preset: Preset) -> Preset:
    objects = []
    for one in preset.objects:
        if not isinstance(one.network, CosineSettings):
            raise ValueError(f"preset {preset.name} has object networks without a step, which sharp would halve")
        objects.append(replace(one, network=replace(one.network, step=one.network.step / 2)))
    return replace(preset, name=f"{preset.name}, sharp", objects=tuple(objects))


def _enlarged(box: Box, size: tuple[int, int]) -> Box:
    across, down = (max(round(side * MARGIN), LEAST_MARGIN) for side in (box.width, box.height))
    left, top = max(box.x - across, 0), max(box.y - down, 0)
    right, bottom = min(box.x + box.width + across, size[0]), min(box.y + box.height + down, size[1])
    return Box(left, top, right - left, bottom - top, box.label)


def _decoys(frame: Frame, tries: int = 20) -> list[Box]:
    """For every box one of its size elsewhere, apart from all others where there is room; always the same ones."""
    chance, found = random.Random(frame.image_id), list(frame.boxes)
    for box in frame.boxes:
        for _ in range(tries):
            x = chance.randint(0, frame.size[0] - box.width)
            y = chance.randint(0, frame.size[1] - box.height)
            decoy = Box(x, y, box.width, box.height, "decoy")
            if not _touches(decoy, found):
                found.append(decoy)
                break
    return found[len(frame.boxes) :]


def _touches(box: Box, others: Sequence[Box]) -> bool:
    return any(
        box.x < o.x + o.width and o.x < box.x + box.width and box.y < o.y + o.height and o.y < box.y + box.height
        for o in others
    )
