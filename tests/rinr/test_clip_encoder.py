from dataclasses import replace

import pytest

from rinr.clip_encoder import encode_clips
from rinr.codec.clip import part_id, part_name
from rinr.codec.frame import pack_frame, unpack_frame
from rinr.decoder import decode
from rinr.encoder import encode
from rinr.metrics import frame_psnr
from rinr.networks.payload import write_networks
from rinr.presets import BALANCED, CLIP, encoding_id
from rinr.weights import MissingPartError, parts_of
from tests.rinr.moving import frame_of, pan, scene


def timeless(clips):
    """Clips without what differs from one time to the next."""
    return [(clip.part, [replace(image, fit_seconds=0) for image in clip.images]) for clip in clips]


def test_what_is_reported_is_what_payload_and_part_decode_to():
    frames = pan()
    (clip,) = encode_clips(frames, [None] * len(frames), CLIP)
    assert clip.part is not None
    for frame, image in zip(frames, clip.images, strict=True):
        payload = unpack_frame(pack_frame(image.frame))
        decoded = decode(payload, parts=parts_of([clip.part]))
        assert (image.background_db, image.object_db) == frame_psnr(frame.pixels, decoded, frame.boxes)
        assert (image.part_id, image.image_id) == (part_id(clip.part), frame.image_id)
        assert payload.clip.part == part_name(clip.part)
        assert image.bytes_shared == len(clip.part) / len(frames)
        assert image.clip.startswith(f"one of {len(frames)} frames, 0.")
    with pytest.raises(MissingPartError):
        decode(clip.images[0].frame)


def test_frames_that_resemble_nothing_stand_alone_as_encode_has_them():
    frames = [frame_of(scene(seed)[:48, :64], "a.jpg") for seed in range(5)]
    clips = encode_clips(frames, [None] * 5, CLIP)
    images = [image for clip in clips for image in clip.images]
    assert [clip.part for clip in clips] == [None] * len(clips)
    assert [image.image_id for image in images] == [frame.image_id for frame in frames]
    assert all(image.clip.startswith("alone: ") and image.part_id is None for image in images)
    alone = encode(frames, BALANCED)
    assert [pack_frame(image.frame) for image in images] == [pack_frame(image.frame) for image in alone]


def test_later_frames_extend_a_clip_and_leave_it_as_it_is():
    frames = pan(9)
    first = encode_clips(frames[:6], [None] * 6, CLIP)
    (clip,) = first
    (later,) = encode_clips(frames[5:8], [None] * 3, CLIP, known=[clip.part])
    assert later.part is None
    for frame, image in zip(frames[5:8], later.images, strict=True):
        assert image.part_id == part_id(clip.part)
        assert image.bytes_shared == 0
        decoded = decode(image.frame, parts=parts_of([clip.part]))
        assert (image.background_db, image.object_db) == frame_psnr(frame.pixels, decoded, frame.boxes)
    assert timeless(encode_clips(frames[:6], [None] * 6, CLIP)) == timeless(first)


def test_a_clip_of_any_length_and_with_a_cut_in_the_middle():
    assert encode_clips([], [], CLIP) == []
    (clip,) = encode_clips(pan(1), [1.0], CLIP)
    assert clip.part is None
    assert clip.images[0].clip.startswith("alone: 1 alike where a clip has 4 or more")
    frames = pan(5) + pan(5, seed=9)
    clips = encode_clips(frames, [None] * 10, CLIP)
    assert [len(clip.images) for clip in clips] == [5, 5]
    assert len({clip.part for clip in clips} - {None}) == 2
    assert [image.image_id for clip in clips for image in clip.images] == [frame.image_id for frame in frames]


def test_what_a_clip_comes_to_does_not_depend_on_what_is_encoded_with_it():
    one, other = pan(5), pan(5, seed=9)
    assert timeless(encode_clips(one + other, [None] * 10, CLIP)[1:]) == timeless(encode_clips(other, [None] * 5, CLIP))


def test_frames_that_are_equal_cost_next_to_nothing_each():
    frames = pan(1) * 8
    (clip,) = encode_clips(frames, [3.0] * 8, CLIP)
    backgrounds = {image.frame.bytes_background for image in clip.images}
    assert max(backgrounds) <= 8


def test_a_preset_without_clips_makes_none_and_times_are_one_a_frame():
    clips = encode_clips(pan(2), [None, None], BALANCED)
    assert [(clip.part, len(clip.images), clip.images[0].clip) for clip in clips] == [(None, 1, "")] * 2
    with pytest.raises(ValueError, match="1 times for 2 frames"):
        encode_clips(pan(2), [None], CLIP)


def test_progress_rises_to_the_end():
    told = []
    encode_clips(pan(5), [None] * 5, CLIP, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (10, 10)


def test_a_clip_without_backgrounds_of_its_frames_is_kept_as_it_is():
    frames = pan(5)
    bare = replace(CLIP, clip=replace(CLIP.clip, background=None))
    (clip,) = encode_clips(frames, [None] * 5, bare)
    assert {image.frame.background for image in clip.images} == {write_networks([None])}
    assert {image.clip for image in clip.images} == {"one of 5 frames"}
    assert {image.encoding_id for image in clip.images} == {encoding_id(bare)}
