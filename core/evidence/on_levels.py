"""The tables of NestedNet (Kim et al., CVPR 2018, tables 1-3), in small: levels beside networks of their own.

The paper's networks are deeper and wider; what stands beside a difference here is its difference between the same two. Its WRN-32-4,
14-4, 32-1 and 14-1 are here WRN-14-2, 8-2, 14-1 and 8-1.
"""

from __future__ import annotations

from core.evidence.of_seeds import nested, settings
from core.evidence.wanted import ALONE, DENSE, RANDOM, Table

FULL = "full level"
AVERAGE, LEARNED = "consensus, average", "consensus, learned"
ONE, TWO, THREE = "table 1", "table 2", "table 3"
WIDE = "nested-wrn-14-2"  # the dense network that two tables share
CHOSEN = "(the rate by the dense network) on validation images"
HELD = "Each weight takes the mean of the losses of the levels that have it, where equation 5 takes that of all."
WEIGHTS = Table(
    "nested-weights", "NestedNet: masks on the weights of ResNet-20 at half width, CIFAR-10",
    "Do nested masks cost accuracy against a network of their own, and does searching for them beat drawing them?",
    tuple(nested("nested-weights", "masks", settings("nested-resnet20-weights", epochs=12))),
    note=f"{HELD} Rates are 0.1, then 0.05, for all networks; at four times that the dense network ended 1.2 points higher on validation images, of one seed.",
    pairs={
        ("level 0", ALONE): (ONE, "NestedNet weights 3x", "Network pruning (Han 3x)"),
        ("level 1", ALONE): (ONE, "NestedNet weights 2x", "Network pruning (Han 2x)"),
        ("level 0", RANDOM): (ONE, "NestedNet weights 3x", "NestedNet random mask 3x"),
        ("level 1", RANDOM): (ONE, "NestedNet weights 2x", "NestedNet random mask 2x"),
    },
)  # fmt: skip
CHANNELS = Table(
    "nested-channels", "NestedNet: channels of ResNet-20 at half width, CIFAR-10",
    "Does a level of half of the weights cost accuracy against a network of its own?",
    tuple(nested("nested-channels", "channels", settings("nested-resnet20-channels", epochs=8), tried=3)),
    chosen=CHOSEN,
    note=f"{HELD} The rate is one for all networks, the dense one's best of 0.1, 0.2 and 0.4; after L1-norm filters are cut, half of it.",
)  # fmt: skip
FOUR = Table(
    "nested-four-levels", "NestedNet: four levels of WRN-14-2, CIFAR-100",
    "Which levels gain from being trained together, and does consensus beat the full level?",
    tuple(nested("nested-four-levels", "four levels", settings("nested-wrn-14-2", epochs=8), tried=5, student=True, dense=WIDE)),
    chosen=CHOSEN,
    note=f"{HELD} The rate is one for all networks, the dense one's best of 0.1, 0.2 and 0.4, and over two epochs of 0.05 and 0.8. As equation 5 "
    "has it, joint training was tried at 0.1 and 0.8, over two epochs at 0.4 and 1.6: it ended lower on validation images.",
    pairs={
        ("level 0", ALONE): (TWO, "NestedNet WRN-14-1", "WRN-14-1 alone"),
        ("level 1", ALONE): (TWO, "NestedNet WRN-32-1", "WRN-32-1 alone"),
        ("level 2", ALONE): (TWO, "NestedNet WRN-14-4", "WRN-14-4 alone"),
        ("level 3", DENSE): (TWO, "NestedNet WRN-32-4", "WRN-32-4 alone"),
        (AVERAGE, FULL): (TWO, "NestedNet-A", "NestedNet WRN-32-4"),
        (LEARNED, FULL): (TWO, "NestedNet-L", "NestedNet WRN-32-4"),
    },
)  # fmt: skip
HIERARCHY = Table(
    "nested-hierarchy", "NestedNet: 20 coarse classes inside 100, WRN-14-2, CIFAR-100",
    "Does a core of 20 classes cost the 100 anything?",
    tuple(nested("nested-hierarchy", "hierarchy", settings("nested-wrn-14-2-hierarchy", epochs=8), dense=WIDE)),
    note=f"{HELD} The rate is that of the four levels.",
    pairs={
        ("level 0", ALONE): (THREE, "NestedNet WRN-14-4", "WRN-14-4 alone"),
        ("level 1", DENSE): (THREE, "NestedNet WRN-14-8 of a hierarchy", "WRN-14-8 alone"),
        (AVERAGE, FULL): (THREE, "NestedNet-A of a hierarchy", "NestedNet WRN-14-8 of a hierarchy"),
        (LEARNED, FULL): (THREE, "NestedNet-L of a hierarchy", "NestedNet WRN-14-8 of a hierarchy"),
    },
)  # fmt: skip
