"""Many rounds of delivery, with a kill between any two steps, contacts at once, lost files and refused shards.

The store is one in memory (its rules are those that ``test_store.py`` holds the real one to); inbox, outbox, keys and
manifests are real. What each device must end with is worked out from what was put into the store, in plain Python.
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rinr.codec.encoded import EncodedImage
from rinr.shard import frames_among
from storage.delivery import MAX_WAITING, candidates, deliver
from storage.fleet import Device, Receives
from storage.inbox import Inbox
from tests.storage.delivery_bench import FOG, Edge, MemoryStore, inbox_bytes, reset_row
from tests.storage.examples import ENCODING, clip_of, digest, encoded_image, shared_part, source

NAMES = ("cam-a", "cam-b", "cam-c")
STEPS = (
    "images",
    "clip",
    "relabel",
    "contact",
    "contact",
    "killed",
    "race",
    "receive",
    "acknowledge",
    "lose",
    "spoil",
    "reset",
)


class Killed(BaseException):
    """The contact ends here, as by SIGKILL."""


class World:
    """A store in memory, three devices, and what was put into the store."""

    def __init__(self, folder: Path, seed: int, rules: dict[str, Receives]) -> None:
        self.random = random.Random(seed)
        self.store: Any = MemoryStore()
        self.owner: dict[str, str] = {}
        self.newest: dict[str, EncodedImage] = {}
        self.edges = [Edge(_device(folder / name, name, rules.get(name, Receives())), key=None) for name in NAMES]
        self.parts: list[bytes] = []
        self.put = Inbox.put

    def images(self) -> None:
        for _ in range(self.random.randrange(1, 6)):
            image = encoded_image(len(self.owner))
            self.owner[image.image_id] = self.random.choice(NAMES)
            self._add(image)

    def clip(self) -> None:
        """Frames of a new clip, or some that come later to one that is there."""
        new = not self.parts or self.random.random() < 0.6
        if new:
            self.parts.append(shared_part(len(self.parts), self.random.choice([100, 700])))
        part = self.parts[-1] if new else self.random.choice(self.parts)
        first = len(self.owner)
        clip = clip_of(range(first, first + self.random.randrange(1, 5)), part, new=new)
        self.store.append([replace(clip, images=())])
        owner = self.random.choice(NAMES)
        for image in clip.images:
            self.owner[image.image_id] = owner
            self._add(image)

    def relabel(self) -> None:
        if self.newest:
            image = self.random.choice(list(self.newest.values()))
            again = digest(f"{image.image_id} {self.random.random()}")
            self._add(replace(image, labels_id=again, frame=replace(image.frame, background=again.encode())))

    def contact(self) -> None:
        self._deliver(self._edge())

    def killed(self) -> None:
        """A contact that ends before or after one of its writes."""
        self._interrupted(self._edge(), self.random.randrange(12), Killed())

    def race(self) -> None:
        """A whole contact in the middle of another one with the same device."""
        edge = self._edge()
        self._interrupted(edge, self.random.randrange(12), lambda: self._deliver(edge))

    def receive(self) -> None:
        self._edge().receive(self.random.randrange(4))

    def acknowledge(self) -> None:
        self._edge().acknowledge()

    def lose(self) -> None:
        self._of_inbox(lambda file: file.unlink())

    def spoil(self) -> None:
        self._of_inbox(lambda file: file.write_bytes(file.read_bytes()[:-3] + b"xyz"))

    def reset(self) -> None:
        edge = self._edge()
        generation = 1 + max([row["generation"] for row in self._log(edge)], default=1)
        self.store.append([reset_row(edge.device.name, generation)])

    def settle(self) -> None:
        """Undisturbed rounds, until nothing moves."""
        for _ in range(60):
            moved = False
            for edge in self.edges:
                report = self._deliver(edge)
                moved |= edge.receive() > 0 or bool(report.sent)
                moved |= bool(edge.refused) or bool(report.acknowledged)
                edge.acknowledge()
            if not moved:
                return
        raise AssertionError("it does not settle")

    def check(self) -> None:
        """Every device has the exact set, nothing twice, and all bytes are accounted for."""
        for edge in self.edges:
            name, rule = edge.device.name, edge.device.receives
            expected = {
                image_id: image.frame
                for image_id, image in self.newest.items()
                if self.owner[image_id] != name
                and (not rule.neighbours or self.owner[image_id] in rule.neighbours)
                and (not rule.labels or {box.label for box in image.frame.boxes} & set(rule.labels))
            }
            images = edge.images
            assert {image_id: images.get(image_id) for image_id in expected} == expected
            assert all(self.owner[image_id] != name for image_id in images)
            assert set(edge.copies.values()) <= {1}
            rows = [row for row in self._log(edge) if row["generation"] == max(1, edge.generation)]
            planned = [key for row in rows if row["image_ids"]
                       for key in zip(row["image_ids"], row["labels_ids"], strict=True)]  # fmt: skip
            assert max(Counter(planned).values(), default=1) == 1
            sizes = {row["sequence"]: row["bytes"] for row in rows if row["status"] == "sent"}
            for sequence, (manifest, _) in edge.held.items():
                shard = [row for row in rows if row["sequence"] == sequence and row["status"] == "planned"]
                assert tuple(shard[0]["image_ids"]) == manifest.image_ids
                assert sizes[sequence] >= manifest.bytes
            carried = [part_id for _, ids in sorted(edge.parts.items()) for part_id in ids]
            assert len(set(carried)) == len(carried)  # each once
            for sequence, (_, held) in edge.held.items():
                here = {part_id for number, ids in edge.parts.items() if number <= sequence for part_id in ids}
                needed = {row.frame.clip.part.hex() for row in frames_among(held) if row.frame.clip}
                assert needed <= {part_id[:16] for part_id in here}  # and before the frames that need it
            assert Inbox(edge.device.inbox).names() == []
            assert {row["sequence"] for row in rows if row["status"] == "acknowledged"} == set(edge.held)

    def _deliver(self, edge: Edge) -> Any:
        report = deliver(self.store, edge.device, candidates(self.store, ENCODING), FOG)
        waiting = [
            row for row in self._log(edge) if row["status"] == "planned" and row["generation"] == report.generation
        ]
        taken = [
            row for row in self._log(edge) if row["status"] == "acknowledged" and row["generation"] == report.generation
        ]
        assert len(waiting) - len(taken) <= MAX_WAITING
        assert report.notes == () or "lost" in report.notes[0] or "refused what is not waiting" in report.notes[0], (
            report.notes
        )
        budget = edge.device.receives.budget
        assert budget is None or report.standing.bytes_waiting <= budget
        return report

    def _interrupted(self, edge: Edge, steps: int, what: Any) -> None:
        """A contact in which something happens after some of its reads of the inbox, its writes and its commits."""
        left = [steps]

        def step(_: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                if isinstance(what, BaseException):
                    raise what
                self.store.before = lambda _: None
                with pytest.MonkeyPatch.context() as inner:
                    inner.setattr(Inbox, "put", self.put)
                    what()
                self.store.before = step

        def put(inbox: Inbox, name: str, shard: bytes, manifest: bytes) -> Any:
            step("put")
            Path(inbox.url).mkdir(parents=True, exist_ok=True)
            Path(inbox.url, f"{name}.parquet").write_bytes(shard)
            step("data")
            done = self.put(inbox, name, shard, manifest)
            step("manifest")
            return done

        remove = Inbox.remove

        def removed(inbox: Inbox, names: Any) -> None:
            names = list(names)
            step("remove")
            remove(inbox, names[:1])
            step("removed one")
            remove(inbox, names[1:])

        self.store.before = step
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Inbox, "put", put)
                patch.setattr(Inbox, "remove", removed)
                self._deliver(edge)
        except Killed:
            pass
        finally:
            self.store.before = lambda _: None

    def _add(self, image: EncodedImage) -> None:
        self.newest[image.image_id] = image
        self.store.append([image])
        number = len(self.store.rows["sources"])
        self.store.append([
            source(number % 60, image_id=image.image_id, labels_id=image.labels_id,
                   device=self.owner[image.image_id], path=f"{number}.jpg")
        ])  # fmt: skip

    def _edge(self) -> Edge:
        return self.random.choice(self.edges)

    def _log(self, edge: Edge) -> list[dict[str, Any]]:
        return [row for row in self.store.events() if row["device"] == edge.device.name]

    def _of_inbox(self, change: Callable[[Path], Any]) -> None:
        files = sorted(file for edge in self.edges for file in Path(edge.device.inbox).glob("shard-*"))
        if files:
            change(self.random.choice(files))


def _device(folder: Path, name: str, receives: Receives) -> Device:
    return Device(name=name, storage=f"{folder}/s", inbox=f"{folder}/in", home=f"{folder}/home", receives=receives)


RULES = st.fixed_dictionaries(
    {},
    optional={
        "cam-a": st.builds(Receives, budget=st.integers(3_000, 9_000)),
        "cam-b": st.builds(Receives, neighbours=st.sampled_from([("cam-a",), ("cam-c",), ("cam-a", "cam-c")])),
        "cam-c": st.builds(Receives, labels=st.just(("boat",))),
    },
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(STEPS), min_size=10, max_size=60), st.integers(0, 2**32), RULES)
def test_every_device_ends_with_the_exact_set(steps: list[str], seed: int, rules: dict[str, Receives]):
    folder = Path(tempfile.mkdtemp())
    try:
        world = World(folder, seed, rules)
        for step in steps:
            getattr(world, step)()
        world.settle()
        world.check()
    finally:
        shutil.rmtree(folder)


def test_bytes_that_travel_are_the_sum_of_what_was_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without disturbance every byte put into an inbox belongs to a shard that arrived, and is put there once."""
    world = World(tmp_path, 5, {"cam-a": Receives(budget=3_000)})
    travelled: Counter[str] = Counter()

    def put(inbox: Inbox, name: str, shard: bytes, manifest: bytes) -> Any:
        travelled[inbox.url] += len(shard) + len(manifest)
        return world.put(inbox, name, shard, manifest)

    monkeypatch.setattr(Inbox, "put", put)
    arrived: Counter[str] = Counter()
    for _ in range(12):
        world.images()
        for edge in world.edges:
            world._deliver(edge)
            arrived[edge.device.inbox] += inbox_bytes(edge.device)
            edge.receive()
            edge.acknowledge()
            world._deliver(edge)
            arrived[edge.device.inbox] += inbox_bytes(edge.device)
            edge.receive()
            edge.acknowledge()
            world._deliver(edge)
            arrived[edge.device.inbox] += inbox_bytes(edge.device)
            edge.receive()
            edge.acknowledge()
    world.settle()
    world.check()
    sent = Counter({
        edge.device.inbox: sum(row["bytes"] for row in world._log(edge) if row["status"] in ("sent", "resent"))
        for edge in world.edges
    })  # fmt: skip
    assert travelled == sent
    assert not world.store.events("resent")
