"""Promotion: whether a model that was trained takes the place of the one in use."""

from dataclasses import dataclass

from rinr.training.evaluate import Precision


@dataclass(frozen=True)
class Verdict:
    """What was decided.

    Attributes:
        promoted: whether the new model is in use now.
        why: in a sentence.
    """

    promoted: bool
    why: str


def judge(new: Precision, in_use: Precision | None, margin: float, where: str) -> Verdict:
    """Compare the new model with the one in use, by mAP50 on the same pictures.

    Args:
        new: of the new model.
        in_use: of the one in use; ``None`` where there is none.
        margin: by how much the new one may be worse. Pictures are few, and a model is not worse for every picture
            missed; below 0 it has to be better by so much.
        where: the pictures, in words.
    """
    if in_use is None:
        return Verdict(True, f"There was no model in use; the new one has an mAP50 of {new.map50:.3f} on {where}.")
    compared = f"mAP50 on {where}: {new.map50:.3f}, and {in_use.map50:.3f} of the model in use"
    if new.map50 >= in_use.map50 - margin:
        return Verdict(True, f"{compared}; it takes its place.")
    short = f"worse by more than {margin:g}" if margin >= 0 else f"not better by {-margin:g}"
    return Verdict(False, f"{compared}; that is {short}, so it is kept and not used.")
