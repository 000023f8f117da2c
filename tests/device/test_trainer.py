import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest
import safetensors.torch

from device import trainer as trainer_module
from device.errors import DeviceJobError
from device.job import run
from device.report import parse_report
from device.trainer import GROUP, REFERENCE, find_trainer
from rinr.training.train import TrainingError
from tests.device import trainers

pytestmark = pytest.mark.usefixtures("undrawn")

MINE = "tests.device.trainers"


@pytest.fixture
def job(bench, scenes):
    """A job of a device that has a trainer of its own, two frames and three own pictures."""
    bench.deliver(scenes(0, 2))
    bench.capture(scenes(20, 23))
    trainers.seen.clear()

    def made(trainer, **settings):
        device = bench.device.model_copy(update={"trainer": trainer})
        bench.__dict__["device"] = device
        return bench.job(**settings)

    return made


def test_it_is_given_pictures_and_what_it_gives_back_is_tested_and_put_in_use(bench, job):
    report = run(job(f"{MINE}:corner"))
    (exercise,) = trainers.seen
    assert (len(exercise.pictures), len(exercise.held_out), exercise.start) == (2, 3, None)
    assert (exercise.settings.epochs, exercise.torch_device) == (2, "cpu")
    assert (report.trainer, report.epochs, report.losses) == (f"{MINE}:corner", 1, (1.0,))
    assert report.promoted
    assert report.notes == ("Taught.",)
    assert report.own.before.map50 == 0
    assert sum(row.objects for row in report.sizes) == 3
    model = safetensors.torch.load((bench.home / "model.safetensors").read_bytes())
    assert model["taught"] == 1
    assert parse_report(bench.fog.heard().report) == report
    assert not exercise.folder.exists(), "its folder is emptied once the job is done"


def test_it_starts_from_its_own_model_and_not_from_anothers(bench, job, scenes):
    run(job(None))
    first = run(job(f"{MINE}:corner"))
    assert trainers.seen[0].start is None
    assert "it is a model of 'rinr-detector-1', expected" in first.notes[0]
    assert (bench.home / "set-aside.safetensors").exists()
    bench.deliver(scenes(2, 3))
    second = run(job(f"{MINE}:corner", margin=1))
    assert second.started_from == first.model_sha256
    assert safetensors.torch.load((bench.home / "model.safetensors").read_bytes())["taught"] == 2
    assert second.compared == first.own.after


def test_a_job_of_the_same_trainer_is_not_done_again_and_another_is(job):
    run(job(f"{MINE}:corner"))
    run(job(f"{MINE}:corner"))
    assert len(trainers.seen) == 1
    assert run(job(None)).trainer == REFERENCE


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("raises", r"trainers:raises raised LookupError: no such layer$"),
        ("text", "gave back a str; it takes one device.exercise.Exercise and returns one device.exercise.Learned"),
        ("rubbish", "gave back weights that are not taken: it is no safetensors file"),
        ("endless", "gave back weights that are not taken: its 'mean' holds what is no finite number"),
        ("lossless", "gave back `losses` that are no tuple of 1 to 5,000 finite numbers"),
        ("blind", "the model that it made could not be tested: TypeError: .*answered 4|answered 3"),
        ("unloadable", "the model that it made could not be tested: ValueError: not mine"),
    ],
)
def test_one_that_fails_is_a_clear_error_and_the_model_in_use_stays(bench, job, name, told):
    run(job(None))
    before = (bench.home / "model.safetensors").read_bytes()
    with pytest.raises(TrainingError, match=told):
        run(job(f"{MINE}:{name}", start="scratch"))
    assert (bench.home / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "no_such_module:train",
            "cannot be imported: ModuleNotFoundError: .*install it where this program is",
        ),
        (f"{MINE}:missing", f"the module {MINE} has no 'missing'; check `trainer` of the device in the fleet file"),
        (f"{MINE}:two_arguments", "cannot be called with one argument; it takes one"),
        (f"{MINE}:number", "is no function but int"),
        ("mine", r"no installed package offers a trainer 'mine' \(entry points 'rinr.trainers'; there are: none\)"),
    ],
)
def test_one_that_cannot_be_used_is_found_before_anything_is_fetched(bench, job, name, told):
    with pytest.raises(DeviceJobError, match=told):
        run(job(name))
    assert not (bench.home / "received").exists()


def test_a_module_that_breaks_while_it_is_imported_is_said(tmp_path, monkeypatch):
    (tmp_path / "broken_trainer.py").write_text("raise OSError('no licence')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(DeviceJobError, match="cannot be imported: OSError: no licence"):
        find_trainer("broken_trainer:train")


def test_an_entry_point_is_found_by_its_name(monkeypatch):
    offered = EntryPoints([EntryPoint("mine", f"{MINE}:corner", GROUP)])
    monkeypatch.setattr(trainer_module, "entry_points", lambda group: offered)
    found = find_trainer("mine")
    assert (found.name, found.architecture, found.function) == ("mine", "trainer mine", trainers.corner)
    with pytest.raises(DeviceJobError, match="there are: mine"):
        find_trainer("yours")


def test_a_changed_trainer_has_another_source(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sources = []
    for number in (1, 2):
        (tmp_path / f"trainer_{number}.py").write_text(f"def train(exercise): return {number}")
        sources.append(find_trainer(f"trainer_{number}:train").source)
    assert len(set(sources)) == 2
    assert all(len(source) == 64 for source in sources)
