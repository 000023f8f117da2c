"""The policy of the preset ``cheapest``: per image the family that meets a quality at the fewest bytes.

The preset's own networks are the first candidate. Beside them every codec is tried as a sceptic would: the whole frame,
at full or reduced size, and a coarser frame with crops of its boxes pasted over it, each file at the lowest quality
that meets what is asked. What is outside the boxes does not depend on the crops, nor the crops' quality on the frame
beneath them, so the cheapest frame and the cheapest crops are found one after the other. Crops are tried over the
preset's own background too, where its networks are better at the background alone.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from rinr.codec.encoded import EncodedImage
from rinr.halving import lowest_that_does
from rinr.networks.settings import MAX_QUALITY, CodecSettings, PolicySettings
from rinr.outcome import Outcome, reach
from rinr.presets import ObjectClass, Preset, Settings, codec_preset

Trial = Callable[[Preset], EncodedImage]

ITSELF = "the file itself"


def cheapest(preset: Preset, trial: Trial, captured: EncodedImage | None = None) -> EncodedImage:
    """Encode one image as the preset's policy says.

    Args:
        preset: one with a policy; its networks are searched by :func:`rinr.outcome.reach` where dB are asked for.
        trial: encodes the image with another preset.
        captured: the image's own file as a payload, where it can be one.

    Returns:
        Of all that meets what is asked the candidate with the fewest bytes; where nothing does, the one that comes
        nearest. ``stopped`` says what was asked, what came of it, and what the others would have taken.
    """
    policy = preset.policy
    assert policy is not None, "only presets with a policy come here"
    networks, asked, once = replace(preset, policy=None), Outcome(policy.background_db, policy.object_db), _Once(trial)
    if asked.asks:
        ours = reach(asked, networks, once)
    else:
        ours = once(networks)
        asked = Outcome(_positive(ours.background_db), _positive(ours.object_db))
    background = once.preset_of(ours).background
    candidates = [ours, *_Codecs(policy, asked, once, ours, background).candidates()]
    if captured is not None:
        candidates.append(replace(captured, preset=ITSELF))
    best = min(candidates, key=lambda image: (_short(asked, image), image.frame.bytes_total))
    return replace(best, preset=preset.name, stopped=_words(policy, asked, best, ours, candidates))


class _Once:
    """Encodes the image with each preset once, and knows what came of which."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.done: dict[Preset, EncodedImage] = {}

    def __call__(self, preset: Preset) -> EncodedImage:
        if preset not in self.done:
            self.done[preset] = self.trial(preset)
        return self.done[preset]

    def preset_of(self, image: EncodedImage) -> Preset:
        return next(preset for preset, done in self.done.items() if done.frame == image.frame)


class _Codecs:
    """The codecs' candidates for one image, cheapest ways first, so that dear ones are given up early."""

    def __init__(
        self, policy: PolicySettings, asked: Outcome, trial: Trial, ours: EncodedImage, background: Settings
    ) -> None:
        self.policy, self.asked, self.trial, self.ours, self.background = policy, asked, trial, ours, background
        self.least = ours.frame.bytes_total if asked.met_by(ours) else None

    def candidates(self) -> Iterator[EncodedImage]:
        """Crops of every codec over the networks' background and over the cheapest frame, and whole frames."""
        codecs = [CodecSettings(codec, 0, scale) for codec in self.policy.codecs for scale in self.policy.scales]
        crops = [CodecSettings(codec, 0, scale) for codec in self.policy.codecs for scale in self.policy.crop_scales]
        frame = self.cheapest_frame(codecs)
        beneath_crops = (self.background, *([frame] if frame else [])) if self.ours.object_db is not None else ()
        for beneath in beneath_crops:
            for settings in crops:
                yield from self.kept(partial(_over, beneath, settings))
        for settings in codecs:
            yield from self.kept(partial(_whole, settings))

    def cheapest_frame(self, codecs: Sequence[CodecSettings]) -> CodecSettings | None:
        """Of all codecs and sizes the file with the fewest bytes that is good enough outside the boxes."""
        outside, found, least = Outcome(background_db=self.asked.background_db), None, self.least
        for settings in codecs:
            quality = self.lowest(partial(_whole, settings), outside, least)
            if quality is not None:
                size = self.trial(_whole(settings, quality)).frame.bytes_total
                if least is None or size < least:
                    found, least = replace(settings, quality=quality), size
        return found

    def kept(self, preset_of: Callable[[int], Preset]) -> Iterator[EncodedImage]:
        """The image at the lowest quality that meets what is asked, where it takes fewer bytes than all before."""
        quality = self.lowest(preset_of, self.asked, self.least)
        if quality is not None:
            image = self.trial(preset_of(quality))
            self.least = min(self.least or image.frame.bytes_total, image.frame.bytes_total)
            yield image
        elif self.least is None:
            yield self.trial(preset_of(MAX_QUALITY))  # as near as it comes

    def lowest(self, preset_of: Callable[[int], Preset], asked: Outcome, most: int | None) -> int | None:
        """The lowest quality that meets what is asked, by halving; ``None`` where none does for fewer than ``most``."""
        return lowest_that_does(
            MAX_QUALITY + 1,
            lambda quality: self.trial(preset_of(quality)),
            asked.met_by,
            lambda image: image.frame.bytes_total,
            math.inf if most is None else most,
        )


def _whole(settings: CodecSettings, quality: int) -> Preset:
    return codec_preset(replace(settings, quality=quality))


def _over(beneath: Settings, crops: CodecSettings, quality: int) -> Preset:
    """Crops pasted over a frame of a codec, or over a background network."""
    of_crops = replace(crops, quality=quality)
    if isinstance(beneath, CodecSettings):
        return codec_preset(beneath, of_crops)
    name = f"{beneath.family} + {codec_preset(of_crops).name}"
    return Preset(name, beneath, 1, (ObjectClass(None, of_crops),), pasted=True)


def _positive(decibels: float | None) -> float | None:
    return None if decibels is None else max(decibels, 1e-3)


def _short(asked: Outcome, image: EncodedImage) -> float:
    pairs = ((asked.background_db, image.background_db), (asked.object_db, image.object_db))
    return sum(max(want - got, 0.0) for want, got in pairs if want is not None and got is not None)


def _words(
    policy: PolicySettings,
    asked: Outcome,
    best: EncodedImage,
    ours: EncodedImage,
    candidates: list[EncodedImage],
) -> str:
    words = []
    pairs = (
        ("background-db", asked.background_db, best.background_db),
        ("object-db", asked.object_db, best.object_db),
    )
    for name, want, got in pairs:
        if want is not None and got is not None:
            of = "" if policy.object_db is not None else " of the networks"
            reached = "reached" if got >= want else f"not reached, best possible: {got:.1f} dB"
            words.append(f"{name} {want:.4g}{of} {reached}")
    files = [image for image in candidates if image is not ours and (image is best or image.preset != ITSELF)]
    others = [image for image in files if _short(asked, image) <= _short(asked, best)]
    cheapest_other = min(others, key=lambda image: image.frame.bytes_total, default=None)
    sizes = [f"{ours.family} {ours.frame.bytes_total:,} bytes" + (" (short of it)" if _short(asked, ours) else "")]
    if cheapest_other is not None:
        sizes.append(f"{cheapest_other.preset} {cheapest_other.frame.bytes_total:,} bytes")
    else:
        sizes.append("every codec more")
    return "; ".join([*words, ", ".join(sizes)])
