import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image

from device import job as job_module
from device import learning, reference_trainer
from device import report as report_module
from device.errors import DeviceJobError, NothingToTrainError
from device.home import CACHE, HomeError
from device.job import run
from device.own_pictures import Share
from device.report import parse_report
from device.results import finished_report
from rinr.codec.frame import EncodedFrame
from rinr.labels import image_id
from rinr.shard import ShardRow
from rinr.training import loading
from rinr.training.detector import Detections, Detector
from rinr.training.evaluate import Findings
from rinr.training.train import Epoch, train
from rinr.weights import entropy_decode
from storage.shards.faults import Fault


@pytest.fixture
def trainings(monkeypatch):
    """How often a detector was trained."""
    calls = []

    def counted(*arguments, **options):
        calls.append(arguments)
        return train(*arguments, **options)

    monkeypatch.setattr(reference_trainer, "train", counted)
    return calls


def test_a_job_learns_from_what_was_delivered_and_says_so(bench, scenes):
    first, second = bench.deliver(scenes(0, 5)), bench.deliver(scenes(5, 8))
    bench.capture(scenes(20, 26))
    seen = []
    report = run(bench.job(epochs=40), lambda *told: seen.append(told))

    assert (report.device, report.torch_device, report.epochs, report.seed) == ("cam-b", "cpu", 40, 0)
    assert (report.frames, report.objects, report.training_size) == (8, 8, (96, 64))
    assert report.shard_bytes == first.bytes + second.bytes
    assert report.shard_bytes == sum(path.stat().st_size for path in (bench.folder / "inbox").glob("*.parquet"))
    assert report.payload_bytes == first.payload_bytes + second.payload_bytes
    assert len(report.losses) == 40
    assert report.loss_last < report.loss_first / 2
    assert (report.own.frames, report.own.objects) == (6, 6)
    assert report.own.after.map50 > 0.5 > report.own.before.map50 + 0.2
    assert (report.decoded.frames, report.decoded.objects) == (8, 8)
    assert report.decoded.after.map50 > 0.5 > report.decoded.before.map50 + 0.2
    assert min(report.load_seconds, report.decode_seconds, report.train_seconds, report.evaluate_seconds) > 0
    assert (report.refused, report.notes) == ((), ())
    assert ("training", 40, 40) in seen

    model = (bench.home / "model.safetensors").read_bytes()
    assert hashlib.sha256(model).hexdigest() == report.model_sha256
    Detector().load_state_dict(safetensors.torch.load(model))
    written = json.loads((bench.home / "report.json").read_text())
    assert written["own"]["after"]["map50"] == report.own.after.map50
    assert Image.open(io.BytesIO((bench.home / "curve.png").read_bytes())).size[0] > 600
    learned = {"curve.png", "detections.jpg", "model.safetensors", "report.html", "report.json"}
    assert {path.name for path in bench.home.iterdir()} == learned | {
        "acknowledgement",
        "cache",
        "keys",
        "lock",
        "received",
    }


def test_a_job_done_before_is_not_done_again(bench, scenes, trainings):
    bench.deliver(scenes(0, 2))
    bench.capture(scenes(20, 21))
    report = run(bench.job())
    assert run(bench.job()) == report
    assert len(trainings) == 1


@pytest.mark.parametrize("change", ["seed", "epochs", "frames", "own", "model", "curve", "report"])
def test_a_job_that_differs_in_anything_is_done(bench, scenes, trainings, change):
    bench.deliver(scenes(0, 2))
    bench.capture(scenes(20, 21))
    run(bench.job())
    settings = {}
    match change:
        case "seed":
            settings = {"seed": 1}
        case "epochs":
            settings = {"epochs": 3}
        case "frames":
            bench.deliver(scenes(2, 3))
        case "own":
            bench.capture(scenes(20, 22))
        case "model":
            (bench.home / "model.safetensors").write_bytes(b"cut off")
        case "curve":
            (bench.home / "curve.png").unlink()
        case "report":
            (bench.home / "report.json").write_text('{"key": 1')
    run(bench.job(**settings))
    assert len(trainings) == 2


def test_the_same_job_gives_the_same_model_elsewhere(bench, scenes):
    bench.deliver(scenes(0, 2))
    bench.capture(scenes(20, 21))
    first = run(bench.job())
    for name in ("model.safetensors", "curve.png", "report.json"):
        (bench.home / name).unlink()
    again = run(bench.job())
    assert (again.model_sha256, again.losses, again.own) == (first.model_sha256, first.losses, first.own)


def test_what_is_refused_later_is_in_the_report_and_is_no_new_job(bench, scenes, trainings):
    bench.deliver(scenes(0, 2))
    first = run(bench.job())
    damaged = bench.deliver(scenes(2, 3))
    (bench.fog.folder / f"{damaged.name}.parquet").write_bytes(b"PAR1")
    report = run(bench.job())
    assert len(trainings) == 1
    assert [(one.name, one.fault) for one in report.refused] == [(damaged.name, Fault.TRUNCATED)]
    assert replace(report, refused=()) == first
    assert parse_report((bench.home / "report.json").read_bytes()) == report


def test_a_shard_that_the_fog_node_made_wrong_stops_no_other(bench, scenes):
    good = bench.deliver(scenes(0, 2))
    undecodable = bench.fog.deliver([ShardRow("a" * 64, EncodedFrame(64, 48, b"no network", ()))])
    other = bench.deliver(scenes(2, 3))
    report = run(bench.job())
    assert report.frames == 3
    assert report.shard_bytes == good.bytes + other.bytes
    (refused,) = report.refused
    assert (refused.name, refused.fault) == (undecodable.name, Fault.MALFORMED)
    assert "family 110 is not known" in refused.reason
    heard = bench.fog.heard()
    assert (heard.taken, heard.wanted, heard.refused) == (3, (), report.refused)
    assert run(bench.job()) == report


def test_a_shard_that_the_disk_damaged_is_wanted_once_more(bench, scenes):
    shards = [bench.deliver(scenes(n, n + 1)) for n in range(3)]
    first = run(bench.job(start="scratch"))
    bench.fog.inbox.remove(one.name for one in shards)
    path = bench.home / "received" / f"{shards[1].name}.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    report = run(bench.job())
    assert report.frames == 2
    assert [(one.name, one.fault) for one in report.refused] == [(shards[1].name, Fault.EDITED)]
    heard = bench.fog.heard()
    assert (heard.taken, heard.wanted) == (1, (2,))
    bench.fog.again(shards[1].name)
    healed = run(bench.job(start="scratch"))
    assert (healed.frames, healed.refused, healed.model_sha256) == (3, (), first.model_sha256)
    assert (bench.fog.heard().taken, bench.fog.heard().wanted) == (3, ())


def test_the_fog_node_hears_what_is_stored_and_then_what_was_learned(bench, scenes, monkeypatch):
    bench.deliver(scenes(0, 2))
    heard = []

    def train_noted(*arguments, **options):
        heard.append(bench.fog.heard())
        return train(*arguments, **options)

    monkeypatch.setattr(reference_trainer, "train", train_noted)
    report = run(bench.job())
    (before,), after = heard, bench.fog.heard()
    assert (before.taken, before.report) == (1, None)
    assert (after.taken, parse_report(after.report)) == (1, report)
    assert after.number > before.number
    run(bench.job())
    assert bench.fog.heard() == after, "nothing is new, so nothing is said"
    bench.deliver(scenes(2, 3))
    run(bench.job())
    assert (heard[1].taken, heard[1].report) == (2, None), "a report of other shards is not sent"


def test_of_an_image_that_came_twice_the_newest_row_counts(bench, scenes):
    bench.deliver(scenes(0, 2), labelled=False)
    bench.deliver(scenes(0, 1))  # its label came later
    report = run(bench.job())
    assert (report.frames, report.objects) == (2, 1)


def test_what_was_entropy_decoded_for_an_earlier_job_is_not_decoded_again(bench, scenes, monkeypatch):
    bench.deliver(scenes(0, 4))
    run(bench.job())
    (first,) = (bench.home / CACHE).iterdir()
    decoded = []

    def counted(frames, **how):
        decoded.append(len(frames))
        return entropy_decode(frames, **how)

    monkeypatch.setattr(loading, "entropy_decode", counted)
    bench.deliver(scenes(4, 7))
    run(bench.job())
    assert decoded == [3]
    assert first in set((bench.home / CACHE).iterdir())
    bench.deliver(scenes(3, 4), labelled=False)
    run(bench.job())
    assert first not in set((bench.home / CACHE).iterdir())  # one of its frames is not used any more


def test_without_own_labelled_pictures_precision_on_them_is_not_known(bench, scenes):
    bench.deliver(scenes(0, 2))
    (bench.folder / "storage").mkdir()
    (bench.folder / "storage" / "unlabelled.jpg").write_bytes(scenes(20, 21)[0].data)
    report = run(bench.job())
    assert report.own is None
    assert report.decoded.frames == 2
    assert report.notes[-1].startswith("The device has no labelled pictures of its own to test on")
    assert json.loads((bench.home / "report.json").read_text())["own"] is None


def test_a_storage_that_is_not_there_is_said_and_training_goes_on(bench, scenes):
    bench.deliver(scenes(0, 2))
    report = run(bench.job())
    assert report.own is None
    assert "does not exist" in report.notes[0]


def test_broken_and_already_received_pictures_are_no_test(bench, scenes):
    bench.deliver(scenes(0, 2))
    bench.capture([*scenes(0, 1), *scenes(20, 22)])  # 000.jpg came from another device too
    (bench.folder / "storage" / "001.jpg").write_bytes(b"\xff\xd8\xff cut off")
    report = run(bench.job())
    assert report.own.frames == 1
    assert [note for note in report.notes if "'000.jpg' was received as well" in note]
    assert [note for note in report.notes if "'001.jpg' was passed over" in note]


def test_own_labels_are_matched_to_files_as_ingestion_does(bench, scenes):
    bench.deliver(scenes(0, 2))
    bench.capture(scenes(20, 22))
    storage = bench.folder / "storage"
    (storage / "day-1").mkdir()
    (storage / "001.jpg").rename(storage / "day-1" / "001.jpg")  # its label has the bare name alone
    own = run(bench.job()).own
    assert own is not None
    assert own.frames == 2


def test_many_own_pictures_are_sampled_evenly(bench, scenes, monkeypatch):
    bench.deliver(scenes(0, 2))
    own = scenes(20, 26)
    bench.capture(own)
    tested = []

    def recorded(plan, *others):
        tested.extend(plan.own.held_out.image_ids)
        return learning.learn(plan, *others)

    monkeypatch.setattr(job_module, "learn", recorded)
    report = run(bench.job(own=Share(held_out=1, tested=3)))
    assert tested == [image_id(own[index].data) for index in (0, 2, 4)]
    assert report.notes == ("Tested on 3 of the device's 6 labelled pictures that are held out.",)


def test_nothing_to_train_on_is_a_clear_error(bench, scenes):
    with pytest.raises(NothingToTrainError, match=r"nothing to train cam-b on: the inbox .*inbox is empty; deliver to"):
        run(bench.job())
    bench.deliver(scenes(0, 1), device="cam-a")
    with pytest.raises(NothingToTrainError, match=r"every shard in .* was refused \(.*is meant for cam-a"):
        run(bench.job())
    bench.fog.sent = 0
    bench.deliver(scenes(1, 2), labelled=False)
    with pytest.raises(NothingToTrainError, match=r"none of the 1 frames received has a labelled object; put an anno"):
        run(bench.job())
    assert bench.fog.heard().taken == 1
    assert not (bench.home / "report.json").exists()


def test_settings_that_cannot_be_used_are_clear_errors(bench, scenes):
    bench.deliver(scenes(0, 1))
    job = bench.job()
    with pytest.raises(DeviceJobError, match="torch device 'abacus' cannot be used here"):
        run(replace(job, torch_device="abacus"))
    (bench.folder / "file").write_text("")
    elsewhere = job.device.model_copy(update={"home": str(bench.folder / "file" / "home")})
    with pytest.raises(HomeError, match=r"file/home cannot be written: .*check `home` of cam-b"):
        run(replace(job, device=elsewhere))


@pytest.mark.parametrize(("field", "value"), [("longest_side", 16), ("margin", 2), ("epochs", 5_001), ("start", "x")])
def test_settings_out_of_bounds_are_refused_by_name(bench, field, value):
    with pytest.raises(ValueError, match=f"{field} is {value!r}, expected".replace("5001", "5,001")):
        bench.job(**{field: value})


class KilledError(BaseException):
    """As by SIGKILL: nothing on the way catches it."""


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.usefixtures("undrawn")
def test_killed_beside_any_file_that_gets_its_name_the_next_job_ends_with_the_same(bench, scenes, monkeypatch, before):
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0))
    missed = Findings((nothing,), (torch.tensor([[0.0, 0.0, 8.0, 8.0]]),))
    # It is done some sixty times, and what it learns is of no matter here.
    monkeypatch.setattr(learning, "find", lambda *_: missed)
    monkeypatch.setattr(reference_trainer, "train", lambda *_, **__: [Epoch(1.0, 0.0, 0.0, 4)])
    shard = bench.deliver(scenes(0, 1))
    undisturbed = run(bench.job(epochs=1))
    said = bench.fog.heard()
    real = Path.replace
    named = set()
    for kill_at in range(1, 80):
        for path in bench.home.iterdir():
            if path.name not in ("keys", "lock"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (bench.folder / "outbox" / "acknowledgement").unlink()
        bench.fog.again(shard.name)
        calls = 0

        def dying(path, target, last=kill_at):
            nonlocal calls
            calls += 1
            if calls == last:
                named.add(Path(target).name)
                if before:
                    raise KilledError
            done = real(path, target)
            if calls == last:
                raise KilledError
            return done

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", dying)
            try:
                run(bench.job(epochs=1))
            except KilledError:
                pass
            else:
                break
        report = run(bench.job(epochs=1))
        assert (report.key, report.model_sha256) == (undisturbed.key, undisturbed.model_sha256)
        heard = bench.fog.heard()
        assert (heard.generation, heard.taken, heard.wanted) == (said.generation, said.taken, said.wanted)
        assert parse_report(heard.report) == report
        assert [path for path in bench.home.rglob("*.part") if "keys" not in path.parts] == []
    learned = {"job.json", "model.safetensors", "curve.png", "detections.jpg", "report.html", "report.json"}
    assert named >= {f"{shard.name}.parquet", f"{shard.name}.manifest", "acknowledgement", *learned}


def test_own_pictures_are_trained_on_beside_what_was_received_and_tested_on_apart(bench, scenes, monkeypatch):
    bench.deliver(scenes(0, 2))
    own = [*scenes(20, 29), scenes(22, 23)[0]]  # the last is the same picture as one that is held out
    bench.capture(own)
    plans = []
    monkeypatch.setattr(job_module, "learn", lambda plan, *others: plans.append(plan) or learning.learn(plan, *others))
    report = run(bench.job(own=Share()))
    (plan,) = plans
    assert set(plan.own.held_out.image_ids) == {image_id(own[place].data) for place in (2, 7, 8)}
    assert set(plan.own.training.image_ids) == {image_id(own[place].data) for place in (0, 1, 3, 4, 5, 6)}
    assert (report.frames, report.own_frames, report.own.frames, report.own.objects) == (2, 6, 3, 3)
    assert report.losses != run(bench.job(own=Share(held_out=1))).losses


@pytest.mark.usefixtures("undrawn")
def test_a_training_starts_from_the_model_in_use_unless_it_is_told_not_to(bench, scenes):
    bench.deliver(scenes(0, 2))
    bench.capture(scenes(20, 22))
    first = run(bench.job(epochs=4))
    assert (first.started_from, first.compared) == (None, None)
    bench.deliver(scenes(2, 3))
    second = run(bench.job(epochs=4, margin=1))
    assert second.started_from == first.model_sha256
    assert second.losses[0] < first.losses[0]
    assert (second.compared, second.own.before) == (first.own.after, first.own.after)
    third = run(bench.job(epochs=4, margin=1, start="scratch"))
    assert third.started_from is None
    assert third.compared == second.own.after
    assert third.losses[0] > second.losses[0]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("own", [True, False], ids=["own pictures", "received frames"])
def test_a_model_that_is_worse_is_kept_and_not_used(bench, scenes, own):
    bench.deliver(scenes(0, 3))
    if own:
        bench.capture(scenes(20, 24))
    good = run(bench.job(epochs=30))
    model = (bench.home / "model.safetensors").read_bytes()
    worse = run(bench.job(epochs=1, start="scratch"))
    assert not worse.promoted
    assert ("held-out own pictures" if own else "received frames") in worse.verdict
    assert "worse by more than 0.01" in worse.verdict
    assert (bench.home / "model.safetensors").read_bytes() == model
    candidate = (bench.home / "candidate.safetensors").read_bytes()
    assert hashlib.sha256(candidate).hexdigest() == worse.model_sha256
    assert worse.in_use_sha256 == good.model_sha256
    assert run(bench.job(epochs=1, start="scratch")) == worse, "it was judged, and is not trained again"
    better = run(bench.job(epochs=2, margin=1))
    assert (better.promoted, better.started_from) == (True, good.model_sha256)
    assert not (bench.home / "candidate.safetensors").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_model_of_another_architecture_is_set_aside_and_said(bench, scenes):
    bench.deliver(scenes(0, 1))
    bench.home.mkdir(exist_ok=True)
    other = safetensors.torch.save({"weight": torch.zeros(1)}, {"architecture": "resnet-50"})
    (bench.home / "model.safetensors").write_bytes(other)
    report = run(bench.job(epochs=1))
    assert "it is a model of 'resnet-50', expected 'rinr-detector-1'" in report.notes[-1]
    assert (report.started_from, report.promoted) == (None, True)
    assert (bench.home / "set-aside.safetensors").read_bytes() == other


@pytest.mark.usefixtures("undrawn")
def test_a_report_of_an_earlier_version_is_read_and_its_model_started_from(bench, scenes):
    bench.deliver(scenes(0, 1))
    first = run(bench.job(epochs=1))
    older = json.loads((bench.home / "report.json").read_text())
    for name in report_module._LATER:
        del older[name]
    (bench.home / "report.json").write_text(json.dumps({**older, "key": "of then"}))
    assert finished_report(bench.device) == replace(
        parse_report(json.dumps({**older, "key": "of then"}).encode()), in_use_sha256=first.model_sha256
    )
    assert run(bench.job(epochs=1)).started_from == first.model_sha256
