"""One encoded image with everything the weight store says of it."""

from dataclasses import dataclass

from rinr.codec.frame import EncodedFrame


@dataclass(frozen=True)
class EncodedImage:
    """What a fit gives back for one image: bytes and numbers, never tensors.

    Attributes:
        image_id: SHA-256 of the captured JPEG.
        labels_id: SHA-256 of its canonical labels.
        encoding_id: hash of codec version and settings.
        frame: all that travels.
        source_size: ``(width, height)`` of the upright captured picture, in pixels.
        family: the network family of the background and the objects; of both, ``cosine+webp``, where they differ.
        preset: the preset's name.
        picked: the networks that were picked, for people: ``cosine step 480 tile 80; objects cosine step 30 tile 16``.
        stopped: why the search for them ended: ``preset`` where there was none, or what was asked and came of it. An
            encoding whose ``stopped`` starts with ``max-seconds`` depends on the machine's speed.
        background_db: PSNR outside the boxes, in dB; ``None`` where boxes cover all.
        object_db: PSNR over the union of the boxes, in dB; ``None`` without boxes.
        fit_seconds: wall time of the group's fit divided by its images.
        codec_version: see :data:`rinr.version.CODEC_VERSION`.
        part_id: SHA-256 of the shared part that the frame needs, in hexadecimal; ``None``: it stands alone.
        bytes_shared: the part's bytes divided by the frames it was made for; zero without one.
        clip: in words, why the frame is one of a clip or stands alone; empty where the preset makes no clips.
    """

    image_id: str
    labels_id: str
    encoding_id: str
    frame: EncodedFrame
    source_size: tuple[int, int]
    family: str
    preset: str
    picked: str
    stopped: str
    background_db: float | None
    object_db: float | None
    fit_seconds: float
    codec_version: str
    part_id: str | None = None
    bytes_shared: float = 0.0
    clip: str = ""


@dataclass(frozen=True)
class EncodedClip:
    """Frames that were encoded together.

    Attributes:
        images: in the order of the frames.
        part: the shared part, :func:`rinr.codec.clip.pack_part`'s bytes, where these frames are the first that need it;
            ``None`` where they stand alone, or where an earlier part serves them too.
    """

    images: tuple[EncodedImage, ...]
    part: bytes | None = None
