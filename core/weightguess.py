"""Which of the built-in networks a file of weights belongs to: the names and shapes of its tensors against theirs.

Nothing is trained and no weight is made: the networks stand on torch's meta device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from torch import Tensor

from core.errors import BadInput
from core.networks import NAMES, construct
from core.weightmatch import classes_and_channels, match
from core.weightorder import Layer, layers_of

NATURAL_SIZE = {
    "lenet": 28,
    "mlp": 28,
    "caffenet": 227,
    **dict.fromkeys(("resnet50", "resnext50", "peleenet"), 224),
}  # else 32
OTHER_SIZES = (28, 8, 64)  # sides of the images of the data sets and of small folders of pictures
SIZED = 2  # layers of a network whose shapes may depend on the side: the first linear one, and a norm behind it


@dataclass(frozen=True)
class Candidate:
    """A network that the weights may be of. `share`: of its layers and the file's, those that have a partner, 0-1.

    `fits`: every layer has its place. `side`: of the square input, in pixels, at which it was compared.
    """

    network: str
    share: float
    fits: bool
    side: int
    reason: str


def natural_side(network: str) -> int:
    """The side in pixels of the images that a network is usually given."""
    return NATURAL_SIZE.get(network, 32)


def candidates(tensors: Mapping[str, Tensor], shown: int = 6) -> list[Candidate]:
    """The best matches first, at most `shown`, none without a layer in common; BadInput where classes and channels cannot be told."""
    classes, channels = classes_and_channels(tensors)
    theirs = layers_of(tensors)
    found = [_best(name, dict(tensors), theirs, classes, channels) for name in NAMES]
    alike = [one for one in found if one is not None and one.share > 0]
    ranked = sorted(alike, key=lambda one: (-one.fits, -one.share))  # those alike stay in order of names
    return ranked[:shown]


def _best(name: str, tensors: dict[str, Tensor], theirs: list[Layer], classes: int, channels: int) -> Candidate | None:
    """The candidate of one name at the side that suits it best; None where no side is large enough for it."""
    best: Candidate | None = None
    for side in dict.fromkeys((natural_side(name), *OTHER_SIZES)):
        try:
            ours = _layers(name, classes, channels, side)
        except BadInput:  # its strides leave nothing of an image of this side
            continue
        common = sum((Counter(x.shapes for x in ours) & Counter(x.shapes for x in theirs)).values())
        one = _compared(Candidate(name, common / max(len(ours), len(theirs)), False, side, ""), tensors, ours, theirs)
        if best is None or (one.fits, one.share) > (best.fits, best.share):
            best = one
        if one.fits or len(ours) != len(theirs) or common < len(ours) - SIZED:  # no other side would mend it
            break
    return best


@lru_cache(256)
def _layers(name: str, classes: int, channels: int, side: int) -> list[Layer]:
    return layers_of(construct.skeleton(name, classes, channels, side).state_dict())


def _compared(one: Candidate, tensors: dict[str, Tensor], ours: list[Layer], theirs: list[Layer]) -> Candidate:
    """The candidate with its reason, and whether its layers find their places."""
    if one.share < 1:
        common = round(one.share * max(len(ours), len(theirs)))
        said = f"{common} of the file's {len(theirs)} layers have the shape of one of its {len(ours)}"
        return replace(one, reason=said)
    classes, channels = classes_and_channels(tensors)
    try:
        renamed = match(construct.skeleton(one.network, classes, channels, one.side), tensors, "the file").renamed
    except BadInput as error:
        return replace(one, reason=f"the shapes of all {len(ours)} layers agree, but {error}")
    how = "; the names differ and are matched by shape and order" if renamed else ", and so do their names"
    return replace(one, fits=True, reason=f"the shapes of all {len(ours)} layers agree{how}")
