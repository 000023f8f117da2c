import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from rinr.boxes import Annotation
from rinr.codec.bytestream import PayloadError
from rinr.codec.frame import EncodedFrame
from rinr.decoder import decode
from rinr.frames import Frame
from rinr.shard import ShardRow, to_table
from rinr.training.augment import Augmentation
from rinr.training.canvas import GREY, canvas_size, fit
from rinr.training.classes import UnknownLabelError
from rinr.training.dataset import RinrDataset
from rinr.training.jpegs import JpegDataset
from tests.conftest import frame


def order(dataset, **options):
    """The rows' places in the order in which a pass gives them."""
    return [int(target["image_id"]) for batch in dataset.batches(2, **options) for target in batch.targets]


def test_pictures_are_what_the_decoder_makes_of_the_frames(encoded):
    rows = encoded([frame(0), frame(1), frame(2)])
    dataset = RinrDataset(rows)
    assert (len(dataset), dataset.size) == (3, (64, 48))
    assert dataset.image_ids == tuple(row.image_id for row in rows)
    batches = list(dataset.batches(2))
    assert [batch.images.shape for batch in batches] == [(2, 3, 48, 64), (1, 3, 48, 64)]
    pictures = torch.cat([batch.images for batch in batches])
    assert pictures.dtype == torch.float32
    for picture, row in zip(pictures, rows, strict=True):
        wanted = decode(row.frame).astype(float) / 255
        assert np.abs(picture.permute(1, 2, 0).numpy() - wanted).max() <= 0.51 / 255


def test_targets_follow_torchvisions_convention(encoded):
    boxes = (Annotation(8, 16, 12, 10, "cat"), Annotation(30, 4, 6, 8, "dog"))
    dataset = RinrDataset(encoded([frame(0, boxes), frame(1, ())]))
    (batch,) = dataset.batches(4)
    first, second = batch.targets
    assert first["boxes"].tolist() == [[8, 16, 20, 26], [30, 4, 36, 12]]
    assert first["boxes"].dtype == torch.float32
    assert first["labels"].tolist() == [1, 1]
    assert first["labels"].dtype == first["image_id"].dtype == torch.int64
    assert (first["image_id"].item(), second["image_id"].item()) == (0, 1)
    assert second["boxes"].shape == (0, 4)
    assert second["labels"].shape == (0,)


def test_rows_a_table_and_a_parquet_file_make_the_same_dataset(encoded, tmp_path):
    rows = encoded([frame(0), frame(1)])
    path = tmp_path / "shard.parquet"
    pq.write_table(to_table(rows), path)
    (expected,) = RinrDataset(rows).batches(2)
    for source in (to_table(rows), path, str(path)):
        (batch,) = RinrDataset(source).batches(2)
        assert torch.equal(batch.images, expected.images)


def test_pictures_of_other_sizes_are_letterboxed_and_their_boxes_with_them(encoded):
    upright = frame(1, (Annotation(12, 16, 24, 32, "a"),), width=48, height=64)
    dataset = RinrDataset(encoded([frame(0), upright]), size=(64, 48))
    (batch,) = dataset.batches(2)
    # 48x64 fits 64x48 as 36x48: scaled by 3/4, at the left, grey from column 36.
    assert batch.targets[1]["boxes"].tolist() == [[9, 12, 27, 36]]
    assert (batch.images[1, :, :, 36:] == GREY).all()
    assert batch.images[1, :, :, :36].std() > 0.05
    jpeg = next(JpegDataset([upright], size=(64, 48)).batches(1))
    assert torch.equal(jpeg.targets[0]["boxes"], batch.targets[1]["boxes"])
    assert (jpeg.images[0, :, :, 36:] == GREY).all()


def test_a_jpegs_batch_holds_its_pixels():
    frames = [frame(0), frame(1), frame(2)]
    dataset = JpegDataset(frames, size=(64, 48))
    pictures = torch.cat([batch.images for batch in dataset.batches(2)])
    assert torch.equal(
        (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1), torch.tensor(np.stack([f.pixels for f in frames]))
    )
    assert dataset.labels_ids == tuple(one.labels_id for one in frames)


def test_the_order_follows_from_seed_and_epoch_and_holds_every_frame_once(encoded):
    dataset = RinrDataset(encoded([frame(seed) for seed in range(3)]) * 4)
    assert order(dataset) == list(range(12))
    first = order(dataset, seed=7, epoch=1)
    assert sorted(first) == list(range(12))
    assert first == order(dataset, seed=7, epoch=1)
    assert first != order(dataset, seed=7, epoch=2)
    assert first != order(dataset, seed=8, epoch=1)


def test_augmented_batches_are_seeded_and_keep_the_convention(encoded):
    dataset = RinrDataset(encoded([frame(0), frame(1)]))
    first, again, plain = (next(dataset.batches(2, seed=1, augment=augment)) for augment in (True, True, False))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, plain.images)
    for target in first.targets:
        assert set(target) == {"boxes", "labels", "image_id"}
        assert len(target["labels"]) == len(target["boxes"])


def test_nothing_is_written(encoded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = RinrDataset(encoded([frame(0)]))
    list(dataset.batches(1, seed=0, augment=True))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sizes", "canvas"),
    [
        ([(320, 240)], (320, 240)),
        ([(640, 360)], (320, 184)),  # 320x180, and the next multiples of 8
        ([(640, 480), (480, 640)], (320, 320)),
        ([(100, 50), (60, 90)], (104, 96)),  # smaller ones are not enlarged
        ([(5, 3)], (8, 8)),
    ],
)
def test_canvas_size(sizes, canvas):
    assert canvas_size(sizes) == canvas


def test_fit_keeps_the_aspect():
    assert fit((640, 480), (320, 320)) == (320, 240)
    assert fit((480, 640), (320, 240)) == (180, 240)
    assert fit((640, 1), (320, 240)) == (320, 1)


def test_bad_input_is_refused_by_name(encoded, tmp_path):
    with pytest.raises(ValueError, match="no encoded frames"):
        RinrDataset([])
    rows = encoded([frame(0)])
    with pytest.raises(ValueError, match="no column payload"):
        RinrDataset(to_table(rows).drop_columns(["payload"]))
    with pytest.raises(ValueError, match="60x48: both sides must be multiples of 8"):
        RinrDataset(rows, size=(60, 48))
    with pytest.raises(ValueError, match="60x48: both sides must be multiples of 8"):
        JpegDataset([], size=(60, 48))
    broken = ShardRow("0" * 64, EncodedFrame(64, 48, b"\x00nonsense", ()))
    with pytest.raises(PayloadError):
        RinrDataset([*rows, broken])


def test_classes_give_numbers_in_their_order(encoded):
    boxes = (Annotation(8, 16, 12, 10, "cat"), Annotation(30, 4, 6, 8, "dog"), Annotation(40, 30, 9, 9, "ant"))
    rows = encoded([frame(0, boxes), frame(1, ())])
    for dataset in (
        RinrDataset(rows, classes=["dog", "cat", "ant"]),
        JpegDataset([frame(0, boxes)], size=(64, 48), classes=["dog", "cat", "ant"]),
    ):
        target = next(dataset.batches(2)).targets[0]
        assert target["labels"].tolist() == [2, 1, 3]
        assert target["boxes"].tolist() == [[8, 16, 20, 26], [30, 4, 36, 12], [40, 30, 49, 39]]


def test_labels_outside_the_classes_are_refused_by_name_or_left_out(encoded):
    boxes = (Annotation(8, 16, 12, 10, "cat"), Annotation(30, 4, 6, 8, "dog"))
    rows = encoded([frame(1, ()), frame(0, boxes)])
    with pytest.raises(
        UnknownLabelError, match=rf"image {rows[1].image_id} has an object labelled 'cat'.*\(dog, ant\)"
    ):
        RinrDataset(rows, classes=["dog", "ant"])
    with pytest.raises(UnknownLabelError, match="labelled 'cat'"):
        JpegDataset([frame(0, boxes)], size=(64, 48), classes=["dog"])
    dataset = RinrDataset(rows, classes=["dog", "ant"], unknown="drop")
    (batch,) = dataset.batches(2, augment=True, seed=3)
    assert {label for target in batch.targets for label in target["labels"].tolist()} <= {1}
    (batch,) = dataset.batches(2)
    assert [target["labels"].tolist() for target in batch.targets] == [[], [1]]
    assert batch.targets[1]["boxes"].tolist() == [[30, 4, 36, 12]]
    (batch,) = RinrDataset(rows, classes=["ant"], unknown="drop").batches(2)  # a batch without boxes
    assert [target["boxes"].shape for target in batch.targets] == [(0, 4), (0, 4)]


@pytest.mark.parametrize("classes", [[], ["a", "a"], "cat"])
def test_classes_that_make_no_sense_are_refused(encoded, classes):
    with pytest.raises(ValueError, match="expected names, each of them once"):
        RinrDataset(encoded([frame(0)]), classes=classes)
    with pytest.raises(ValueError, match="unknown is 'skip', expected 'refuse' or 'drop'"):
        RinrDataset(encoded([frame(0)]), unknown="skip")


@pytest.mark.parametrize("turn", [0, 10])
def test_decoded_frames_and_jpegs_are_shown_alike_and_boxes_with_them(mixed, turn):
    """The same pictures through two ways: networks asked at other coordinates, and their pixels resampled."""
    rows = [row for row in mixed if min(row.frame.width, row.frame.height) > 40]
    frames = [
        Frame(row.image_id, "0" * 64, decode(row.frame), row.frame.boxes, (row.frame.width, row.frame.height))
        for row in rows
    ]
    augmentation = Augmentation(turn=turn)
    ours = RinrDataset(rows, size=(96, 72), augmentation=augmentation)
    theirs = JpegDataset(frames, size=(96, 72), augmentation=augmentation)
    for one, other in zip(ours.batches(3, seed=2, augment=True), theirs.batches(3, seed=2, augment=True), strict=True):
        for (a, b), mine, its in zip(
            zip(one.images, other.images, strict=True), one.targets, other.targets, strict=True
        ):
            assert torch.equal(mine["boxes"], its["boxes"])
            assert torch.equal(mine["image_id"], its["image_id"])
            assert (a - b).abs().median() < 0.03  # resampling blurs edges
            assert ((a - b).abs() > 0.2).float().mean() < 0.04
            assert torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1] > 0.9


def test_what_a_picture_gets_does_not_depend_on_its_batch(mixed):
    dataset = RinrDataset(mixed, size=(64, 48))
    together = dataset.batch([0, 3, 5], seed=1, epoch=2, augment=True)
    for slot, place in enumerate([0, 3, 5]):
        alone = dataset.batch([place], seed=1, epoch=2, augment=True)
        torch.testing.assert_close(alone.images[0], together.images[slot], atol=1e-5, rtol=0)
        assert torch.equal(alone.targets[0]["boxes"], together.targets[slot]["boxes"])


def test_boxes_and_ids_are_those_of_the_rows(mixed):
    dataset = RinrDataset(mixed)
    assert dataset.boxes == tuple(row.frame.boxes for row in mixed)
    assert dataset.image_ids == tuple(row.image_id for row in mixed)


def test_progress_is_told_frame_by_frame(mixed, tmp_path):
    for _ in range(2):  # decoded, and from the cache
        told: list[int] = []
        RinrDataset(mixed, size=(64, 48), cache=tmp_path, on_frames=lambda done, _, to=told: to.append(done))
        assert told[-1] == len(mixed)
