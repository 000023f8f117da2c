"""Promises are judged by the side that is hardest to beat, and nothing is judged that was not measured."""

from benchmarks.speed_clock import Spent
from benchmarks.speed_verdicts import Figures, Verdict, verdicts


def _figures(kind: str, loader: float, step: float, cpu: float = 1.0) -> Figures:
    return Figures(kind, Spent(loader, cpu), Spent(loader, cpu), Spent(step, cpu))


FIGURES = {
    "`balanced`": _figures("ours", 2.0, 10.0, cpu=0.05),
    "`instant`": _figures("ours", 1.0, 9.0),
    "`siren`": _figures("ours", 30.0, 40.0),
    "`fast`": _figures("ours", 10.0, 20.0),
    "Pillow, full decode, LANCZOS, 0 workers": _figures("pillow", 15.0, 30.0),
    "Pillow, full decode, LANCZOS, 2 workers": _figures("pillow", 12.0, 25.0),
    "Pillow, full decode, BILINEAR, 0 workers": _figures("pillow", 9.0, 26.0),
    "Pillow, `draft`, 0 workers": _figures("pillow", 1.5, 29.0),
    "nvJPEG": _figures("nvjpeg", 4.0, 11.0),
    "decoded frames in memory": _figures("other", 0.1, 1.0),
}


def _found(device: str, missing: dict[str, str] | None = None) -> dict[str, Verdict]:
    return {verdict.claim: verdict for verdict in verdicts(FIGURES, device, missing or {})}


def test_a_loader_is_judged_by_the_number_of_workers_that_suits_pillow_best() -> None:
    found = _found("cpu", {"nvJPEG": "needs a GPU"})
    siren = found["CPU, loader alone, `fast` against Pillow's full decode with LANCZOS, times as fast"]
    assert siren.measured == 12.0 / 10.0
    assert siren.met
    assert not found["CPU, loader alone, `fast` against Pillow's full decode with BILINEAR, times as fast"].met
    assert not found["CPU, loader alone, `balanced` against Pillow's `draft`, times as fast"].met
    assert found["CPU, loader alone, `instant` against Pillow's `draft`, times as fast"].met


def test_a_step_on_a_gpu_is_judged_by_the_best_pillow_pipeline() -> None:
    found = _found("cuda")
    step = found["GPU, whole step, `balanced` against the best Pillow pipeline, times as fast"]
    assert (step.measured, step.met) == (2.5, False)
    assert "missed, 2.50 where at least 2.9 is wanted" in str(step)
    assert found["GPU, loader alone, `instant` against nvJPEG, times as fast"].measured == 4.0
    assert found["GPU, `balanced`, share of one core while decoding"].met
    assert not found["GPU, `instant`, share of one core while decoding"].met


def test_what_needs_other_hardware_is_not_measured() -> None:
    on_cpu = _found("cpu", {"nvJPEG": "needs a GPU"})
    assert {verdict.met for claim, verdict in on_cpu.items() if claim.startswith("GPU")} == {None}
    on_gpu = _found("cuda", {"nvJPEG": "torchvision is not installed"})
    assert {verdict.met for claim, verdict in on_gpu.items() if claim.startswith("CPU")} == {None}
    missing = on_gpu["GPU, loader alone, `balanced` against nvJPEG, times as fast"]
    assert str(missing).endswith("not measured (torchvision is not installed)")
