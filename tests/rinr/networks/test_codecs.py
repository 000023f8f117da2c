import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from rinr.boxes import Annotation
from rinr.codec.bytestream import PayloadError
from rinr.codec.frame import pack_frame, unpack_frame
from rinr.decoder import decode, load, to_pixels
from rinr.encoder import encode
from rinr.networks.codecs import AVIF, CODECS, JPEG, WEBP, resampling
from rinr.networks.coordinates import centres
from rinr.networks.payload import Member, read_networks, write_networks
from rinr.networks.settings import CodecSettings
from rinr.presets import find_preset
from tests.conftest import frame, picture

OPTIONS = {"jpeg": {"optimize": True}, "webp": {"method": 6}, "avif": {"speed": 4}}
SIDES = (53, 31)


def tensor(pixels):
    return torch.tensor(pixels, dtype=torch.float32) / 255


def file_of(pixels, codec, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=codec, **options)
    return buffer.getvalue()


def grid(count):
    return (centres(count) * 2 - 1)[None]


@pytest.mark.parametrize("family", CODECS, ids=lambda family: family.name)
def test_a_network_is_the_file_that_pillow_writes_and_its_pixels_are_pillow_s(family):
    pixels = picture(0, *SIDES)
    (network,) = family.fit([tensor(pixels)], CodecSettings(family.name, 40))
    assert network.data == file_of(pixels, family.name, quality=40, **OPTIONS[family.name])
    (read,) = family.read(family.write([network]), [SIDES])
    shown = family.stack(family.arrays([read]), "cpu").render(torch.tensor([0]), grid(SIDES[0]), grid(SIDES[1]))
    assert np.array_equal(to_pixels(shown)[0], np.asarray(Image.open(io.BytesIO(network.data))))


@pytest.mark.parametrize("family", CODECS, ids=lambda family: family.name)
def test_bodies_hold_files_of_several_sizes_and_nothing_but_their_lengths(family):
    sizes = [(40, 30), (1, 1), (7, 5), (300, 200)]
    networks = family.fit([tensor(picture(i, *size)) for i, size in enumerate(sizes)], CodecSettings(family.name, 60))
    body = family.write(networks)
    lengths = [len(network.data) for network in networks]
    assert len(body) == sum(lengths) + sum(1 if length < 128 else 2 for length in lengths[:-1])
    for network, read in zip(networks, family.read(body, sizes), strict=True):
        assert read.data == network.data
        assert np.array_equal(read.pixels, network.pixels)


@pytest.mark.parametrize("size", [(160, 90), (641, 359), (33, 200)])
def test_a_reduced_picture_is_resampled_as_pillow_does(size):
    pixels = picture(3, 320, 180)
    (network,) = WEBP.fit([tensor(pixels)], CodecSettings("webp", 90, scale=4))
    small = Image.open(io.BytesIO(network.data))
    assert small.size == (80, 45)
    shown = WEBP.stack(WEBP.arrays([network]), "cpu").render(torch.tensor([0]), grid(size[0]), grid(size[1]))
    wanted = np.asarray(small.resize(size, Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(to_pixels(shown)[0] - wanted).max() <= 1


@pytest.mark.parametrize(("length", "points"), [(20, 80), (80, 20), (31, 31), (2, 9)])
def test_a_row_of_the_matrix_is_lanczos_as_written_in_books(length, points):
    matrix = resampling(grid(points), length)[0].double().numpy()
    width = max(1.0, length / points)
    for point in range(points):
        away = (np.arange(length) + 0.5 - (point + 0.5) * length / points) / width
        with np.errstate(divide="ignore", invalid="ignore"):
            weights = 3 * np.sin(np.pi * away) * np.sin(np.pi * away / 3) / (np.pi * away) ** 2
        weights = np.where(np.abs(away) < 1e-12, 1, np.where(np.abs(away) < 3, weights, 0))
        assert np.abs(matrix[point] - weights / weights.sum()).max() < 1e-4


def test_a_picture_of_one_column_has_a_grid_too():
    (network,) = JPEG.fit([tensor(picture(0, *SIDES))], CodecSettings("jpeg", 80))
    shown = JPEG.stack(JPEG.arrays([network]), "cpu").render(torch.tensor([0]), torch.zeros(1, 1), grid(4))
    assert shown.shape == (1, 3, 4, 1)
    assert bool(torch.isfinite(shown).all())


@pytest.mark.parametrize("name", ["jpeg:5+75", "webp:10/4+80", "avif:5/2+webp:60", "avif:40"])
def test_frames_of_codecs_are_encoded_and_decoded_like_any_other(name):
    boxes = (Annotation(5, 5, 20, 16, "a"), Annotation(40, 20, 9, 9, "b"))
    one = frame(0, boxes, 128, 96)
    (image,) = encode([one], find_preset(name))
    assert image.preset == name
    read = unpack_frame(pack_frame(image.frame))
    assert read == image.frame
    shown = decode(read)
    if "+" not in name:
        assert not read.pasted
        return
    (background,) = read_networks(read.background, [one.size])
    assert background.family.name == name.partition(":")[0]
    members = read_networks(read.objects, [(box.width, box.height) for box in read.boxes])
    for box, member in zip(read.boxes, members, strict=True):
        crop = np.asarray(Image.open(io.BytesIO(member.network.data)))  # pasted as it is, nothing added
        assert np.array_equal(shown[box.slices], crop)


def test_a_preset_without_objects_gives_boxes_no_networks():
    one = frame(0)
    (image,) = encode([one], find_preset("webp:30"))
    assert image.frame.boxes == one.boxes
    assert image.frame.bytes_objects == 1
    assert np.array_equal(decode(image.frame), decode(replace(image.frame, boxes=(), objects=b"")))


def test_a_batch_is_decoded_as_frames_alone():
    frames = [frame(i, width=64 + 8 * i, height=48) for i in range(3)]
    encoded = [image.frame for image in encode(frames, find_preset("jpeg:20/2+70"))]
    together = to_pixels(load(encoded).render([2, 0, 1], 64, 48))
    for shown, index in zip(together, (2, 0, 1), strict=True):
        assert np.array_equal(shown, to_pixels(load(encoded[index : index + 1]).render([0], 64, 48))[0])


def test_where_crops_overlap_their_mean_is_pasted():
    boxes = (Annotation(10, 10, 20, 20, "a"), Annotation(20, 15, 30, 20, "b"), Annotation(70, 50, 9, 9, "c"))
    one = frame(0, boxes, 128, 96)
    (image,) = encode([one], find_preset("webp:5/4+20"))
    members = read_networks(image.frame.objects, [(box.width, box.height) for box in one.boxes])
    total, count = np.zeros((96, 128, 3)), np.zeros((96, 128, 1))
    for box, member in zip(one.boxes, members, strict=True):
        total[box.slices] += np.asarray(Image.open(io.BytesIO(member.network.data)))
        count[box.slices] += 1
    shown, covered = decode(image.frame), count[..., 0] > 0
    assert np.abs(shown[covered] - (total / count.clip(1))[covered]).max() <= 0.5 + 1e-3
    bare = decode(replace(image.frame, boxes=(), objects=b""))
    assert np.array_equal(shown[~covered], bare[~covered])


def test_pictures_are_written_where_asked():
    frames = [frame(i) for i in range(3)]
    loaded = load([image.frame for image in encode(frames, find_preset("webp:30/2+70"))])
    memory = torch.full((3, 3, 48, 64), 9.0)
    assert loaded.render([2, 0, 2], 64, 48, out=memory) is memory
    assert torch.equal(memory, loaded.render([2, 0, 2], 64, 48))


def bodies():
    good = {f.name: f.fit([tensor(picture(0, *SIDES))], CodecSettings(f.name, 30))[0].data for f in CODECS}
    big = {name: file_of(picture(0, 60, 31), name) for name in good}
    grey = io.BytesIO()
    Image.fromarray(picture(0, *SIDES)).convert("L").save(grey, "JPEG")
    lossless = file_of(picture(0, *SIDES), "webp", lossless=True)
    for family in CODECS:
        others = [name for name in good if name != family.name]
        yield pytest.param(family, b"", "file", id=f"{family.name}-empty")
        yield pytest.param(family, good[others[0]], "file", id=f"{family.name}-of-{others[0]}")
        yield pytest.param(family, good[others[1]], "file", id=f"{family.name}-of-{others[1]}")
        yield pytest.param(family, good[family.name][:-40], "file", id=f"{family.name}-truncated")
        yield pytest.param(family, good[family.name][:20], "file", id=f"{family.name}-header")
        yield pytest.param(family, big[family.name], "picture is 60x31", id=f"{family.name}-large")
    yield pytest.param(JPEG, grey.getvalue(), "pixels are L", id="jpeg-grey")
    yield pytest.param(WEBP, lossless, "plain lossy", id="webp-lossless")
    yield pytest.param(AVIF, file_of(np.dstack([picture(0, *SIDES)] * 2)[..., :4], "avif"), "RGBA", id="avif-alpha")


@pytest.mark.parametrize(("family", "body", "says"), list(bodies()))
def test_files_that_lie_are_refused_by_field(family, body, says):
    with pytest.raises(PayloadError, match=says) as caught:
        family.read(body, [SIDES])
    assert str(caught.value).startswith(f"{family.name}: ")


def test_a_canvas_of_a_gigabyte_is_not_made():
    (network,) = WEBP.fit([tensor(picture(0, *SIDES))], CodecSettings("webp", 30))
    lying = bytearray(network.data)
    lying[26:30] = b"\xff\x3f\xff\x3f"
    with pytest.raises(PayloadError, match="picture is 16383x16383"):
        WEBP.read(bytes(lying), [SIDES])


def test_lengths_that_lie_are_refused():
    networks = JPEG.fit([tensor(picture(i, *SIDES)) for i in range(2)], CodecSettings("jpeg", 30))
    body = JPEG.write(networks)
    with pytest.raises(PayloadError, match="truncated at file"):
        JPEG.read(b"\xff\xff\xff\xff\x07" + body[2:], [SIDES] * 2)
    with pytest.raises(PayloadError, match="file length is 0"):
        JPEG.read(b"\x00" + body, [SIDES] * 2)


def test_networks_of_several_codecs_stand_in_one_body():
    members = [
        Member(family, family.fit([tensor(picture(0, *SIDES))], CodecSettings(family.name, 30))[0]) for family in CODECS
    ]
    read = read_networks(write_networks([*members, None]), [SIDES] * 4)
    assert [m and (m.family.name, m.network.data) for m in read] == [
        *((m.family.name, m.network.data) for m in members),
        None,
    ]


@pytest.mark.parametrize(
    ("name", "background", "crops"),
    [
        ("webp:10", CodecSettings("webp", 10), None),
        ("webp:10/4", CodecSettings("webp", 10, 4), None),
        ("webp:10/4+80", CodecSettings("webp", 10, 4), CodecSettings("webp", 80)),
        ("jpeg:5+75", CodecSettings("jpeg", 5), CodecSettings("jpeg", 75)),
        ("avif:0/2+webp:80/2", CodecSettings("avif", 0, 2), CodecSettings("webp", 80, 2)),
    ],
)
def test_names_spell_codecs_out(name, background, crops):
    preset = find_preset(name)
    assert (preset.name, preset.background) == (name, background)
    assert [c.network for c in preset.objects] == ([crops] if crops else [])
    assert preset.pasted == (crops is not None)


def test_two_spellings_are_one_encoding():
    assert find_preset("webp:010/1+webp:80/1") == find_preset("webp:10+80")


@pytest.mark.parametrize("name", ["webp", "webp:", "webp:101", "webp:10/0", "png:3", "webp:10+", "webp:10+80+80"])
def test_names_that_spell_nothing_explain_the_grammar(name):
    with pytest.raises(ValueError, match=r"CODEC:QUALITY.*webp:10/4\+80"):
        find_preset(name)
