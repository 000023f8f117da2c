"""What a delivery says, and what a device's run is for; the flow on a server is tried in ``tests/flows``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from storage.delivery import DeliveryReport, SentShard
from storage.outgoing.delivery_log import DeviceLog, standing
from tasks import device_runs
from tasks.deliver import spoken
from tasks.device_runs import trained_as, training_key

TRAINING: Mapping[str, Any] = {"fleet": "fleet.toml", "epochs": 3, "seed": 0, "accelerator": "auto"}


def report(name: str, *sent: SentShard, **changes: Any) -> DeliveryReport:
    plain = DeliveryReport(
        device=name, generation=1, sequence=len(sent), sent=sent, acknowledged=(), asked=(), refused=(), left_out=0,
        notes=(), standing=standing(DeviceLog(name)), trained=None,
    )  # fmt: skip
    return replace(plain, **changes)


def test_what_was_done_in_a_sentence():
    a = report("cam-a", SentShard("shard-0001-00000001", 1_000, 70_000), SentShard("shard-0001-00000002", 20, 11_204))
    assert spoken([a, report("cam-b")]) == "2 shards to 1 devices, 1,020 images, 81,204 bytes"
    assert spoken([report("cam-b", acknowledged=("shard-0001-00000001",))]) == "1 shards acknowledged"
    assert spoken([report("cam-b")]) == spoken([]) == "nothing new"


def test_a_key_is_for_what_was_delivered_and_for_a_training():
    plain = replace(standing(DeviceLog("cam-a")), sequence=4)
    key = training_key(plain, TRAINING)
    assert key == training_key(replace(plain, bytes_waiting=7), dict(reversed(TRAINING.items())))
    others = [training_key(replace(plain, **one), TRAINING) for one in (
        {"device": "cam-b"}, {"generation": 2}, {"sequence": 5}, {"resent": 1},
    )]  # fmt: skip
    assert len({key, *others, training_key(plain, {**TRAINING, "epochs": 4})}) == 6


@pytest.mark.parametrize(
    ("sent", "is_as"),
    [
        (b'{"epochs": 3, "seed": 0, "more": 1}', True),
        (b'{"epochs": 4, "seed": 0}', False),
        (b'{"seed": 0}', False),
        (b"[]", False),
        (b"[" * 100_000, False),
        (b"\xff", False),
        (None, False),
    ],
)
def test_a_report_that_may_be_anything_is_compared(sent: bytes | None, is_as: bool):
    assert trained_as(sent, TRAINING) is is_as


@dataclass
class Server:
    """Runs by their idempotency keys, as the client would read them."""

    runs: dict[str, str]
    asked: int = 0

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_flow_runs(self, *, flow_run_filter: Any, limit: int) -> list[Any]:
        self.asked += 1
        keys = flow_run_filter.idempotency_key.any_
        assert len(keys) <= limit
        return [self._run(key) for key in keys if key in self.runs]

    def _run(self, key: str) -> Any:
        kind = self.runs[key]
        state = SimpleNamespace(is_final=lambda: kind != "scheduled", is_completed=lambda: kind == "completed")
        return SimpleNamespace(id=key, idempotency_key=key, state=state)


def test_runs_are_found_by_few_questions_and_failed_ones_passed_over(monkeypatch: pytest.MonkeyPatch):
    keys = {f"cam-{number}": f"key-{number}" for number in range(250)}
    runs = {f"key-{number}:cam-{number}:0": "completed" for number in range(240)}
    runs |= {"key-7:cam-7:0": "failed", "key-8:cam-8:0": "failed", "key-8:cam-8:1": "scheduled"}
    server = Server(runs)
    monkeypatch.setattr(device_runs, "get_client", lambda **_: server)
    found = device_runs._find_runs(keys)
    assert found == {f"cam-{n}": f"key-{n}:cam-{n}:{1 if n == 8 else 0}" for n in range(240) if n != 7}
    assert server.asked == 4
