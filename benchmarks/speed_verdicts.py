"""What was promised of training speed, judged by what was measured."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.speed_clock import Spent

MINE = {
    "cosine": ("`balanced`", "`instant`"),
    "siren": ("`siren`", "`fast`", "`siren`, background_step=2", "`fast`, background_step=2"),
}


@dataclass(frozen=True)
class Figures:
    """Of one side, in seconds a picture.

    Attributes:
        kind: what it is compared as.
        loader: the loader alone.
        augmented: with augmentation.
        step: the whole training step.
    """

    kind: str
    loader: Spent
    augmented: Spent
    step: Spent


@dataclass(frozen=True)
class Verdict:
    """One promise.

    Attributes:
        claim: in words.
        wanted: the least, or with ``at_most`` the most, that keeps it.
        measured: ``None`` where it could not be measured.
        why: it could not; or what it was measured against.
    """

    claim: str
    wanted: float
    measured: float | None
    why: str
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured <= self.wanted if self.at_most else self.measured >= self.wanted

    def __str__(self) -> str:
        if self.measured is None:
            return f"{self.claim}: not measured ({self.why})"
        bound = "at most" if self.at_most else "at least"
        return (
            f"{self.claim}: {'met' if self.met else 'missed'}, {self.measured:.2f} where {bound} {self.wanted:g} "
            f"is wanted, {self.measured / self.wanted:.2f} of it ({self.why})"
        )


def verdicts(figures: Mapping[str, Figures], device: str, missing: Mapping[str, str]) -> list[Verdict]:
    """Every promise; those for other hardware as not measured.

    Args:
        figures: by the names of the table.
        device: the type of the accelerator, ``cpu`` or ``cuda``.
        missing: what could not be measured, and why.
    """
    found = []
    for family, part, pillow in (
        ("siren", "full decode, LANCZOS", "Pillow's full decode with LANCZOS"),
        ("siren", "full decode, BILINEAR", "Pillow's full decode with BILINEAR"),
        ("cosine", "`draft`", "Pillow's `draft`"),
    ):
        best = _fastest(figures, [name for name, f in figures.items() if f.kind == "pillow" and part in name], "loader")
        for mine in (name for name in MINE[family] if name in figures):
            claim = f"CPU, loader alone, {mine} against {pillow}, times as fast"
            if device != "cpu":
                found.append(Verdict(claim, 1, None, "run without an accelerator"))
            else:
                own = _fastest(figures, [name for name in (mine, f"{mine}, 2 workers") if name in figures], "loader")
                ratio = figures[best].loader.wall / figures[own].loader.wall
                found.append(Verdict(claim, 1, ratio, f"{own} against {best}"))
    if device == "cpu":
        return [
            *found,
            Verdict("GPU, whole step against the best Pillow pipeline, times as fast", 2.9, None, "needs a GPU"),
            Verdict("GPU, loader alone against nvJPEG, times as fast", 5, None, "needs a GPU"),
            Verdict("GPU, share of one core while decoding", 0.05, None, "needs a GPU", at_most=True),
        ]
    best = _fastest(figures, [name for name, f in figures.items() if f.kind == "pillow"], "step")
    for mine in (name for name in (*MINE["cosine"], *MINE["siren"]) if name in figures):
        claim = f"GPU, whole step, {mine} against the best Pillow pipeline, times as fast"
        found.append(Verdict(claim, 2.9, figures[best].step.wall / figures[mine].step.wall, f"against {best}"))
        claim = f"GPU, loader alone, {mine} against nvJPEG, times as fast"
        if "nvJPEG" in missing:
            found.append(Verdict(claim, 5, None, missing["nvJPEG"]))
        else:
            ratio = figures["nvJPEG"].loader.wall / figures[mine].loader.wall
            found.append(Verdict(claim, 5, ratio, "captured JPEGs, resized on the GPU"))
        claim = f"GPU, {mine}, share of one core while decoding"
        loader, step = figures[mine].loader, figures[mine].step
        paced = f"flat out; at the pace of training {loader.cpu / step.wall:.3f}"
        found.append(Verdict(claim, 0.05, loader.cpu / loader.wall, paced, at_most=True))
    return found


def _fastest(figures: Mapping[str, Figures], names: list[str], measure: str) -> str:
    return min(names, key=lambda name: getattr(figures[name], measure).wall)
