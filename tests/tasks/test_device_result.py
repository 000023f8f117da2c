import json
from dataclasses import replace

from tasks.device import DeviceResult

RESULT = DeviceResult("cam", 24, 30_000, 0.5, 12.25, 20.5, 7.5, 1.25, 0.0, 0.875, 0.0, 0.625, 0.375, 0)


def test_a_result_survives_the_way_over_the_server() -> None:
    assert DeviceResult.from_rows(json.loads(json.dumps(RESULT.rows()))) == RESULT


def test_an_empty_cell_is_no_value() -> None:
    unlabelled = replace(RESULT, own_map50_before=None, own_map50_after=None, own_map50_95_after=None)
    rows = [row | {"value": "" if row["value"] is None else row["value"]} for row in unlabelled.rows()]
    assert DeviceResult.from_rows(rows) == unlabelled


def test_its_sentence_has_what_was_learned_and_what_was_refused() -> None:
    told = "trained on 24 images, 30,000 bytes, loss 7.50 to 1.25"
    assert RESULT.sentence == f"{told}, mAP50 on own pictures 0.00 to 0.62"
    assert replace(RESULT, own_map50_before=None, refused=2).sentence == f"{told}; 2 shards refused"


def test_a_result_of_an_earlier_version_is_read() -> None:
    rows = [row for row in RESULT.rows() if row["what"] not in ("own_frames", "promoted", "verdict")]
    assert DeviceResult.from_rows(rows) == RESULT


def test_a_model_that_was_not_put_in_use_is_said() -> None:
    kept = replace(RESULT, promoted=False, verdict="It is worse.", own_frames=12)
    assert DeviceResult.from_rows(kept.rows()) == kept
    assert kept.sentence.endswith("0.62; not put in use")
