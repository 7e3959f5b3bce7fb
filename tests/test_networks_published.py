"""The sizes of the networks against those that papers print and those that other libraries count, without weights."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from core.networks import NAMES, construct
from core.networks.caffenet import CONVS


@functools.cache
def measured(name: str, classes: int, channels: int, side: int) -> tuple[dict[str, int], int, int]:
    """(MACs by layer, parameters without norms, with norms), counted by hooks on the meta device."""
    network, macs = construct.skeleton(name, classes, channels, side).eval(), dict[str, int]()

    def counter(path):
        def count(module, inputs, output):
            macs[path] = output.numel() * module.weight[0].numel()

        return count

    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(counter(path))
    with torch.no_grad():
        network(torch.empty(1, channels, side, side, device="meta"))
    norms = sum(p.numel() for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters())
    every = sum(p.numel() for p in network.parameters())
    return macs, every - norms, every


EXACT = [  # network, classes, channels, side, MACs, parameters without norms, with norms
    ("resnet20", 10, 3, 32, 40_551_040, 268_346, 269_722),  # He et al., CVPR 2016, table 6: 0.27M
    ("resnet20-projection", 10, 3, 32, 40_813_184, 270_906, 272_474),  # MACs: Distiller's ResNet-20
    ("resnet56", 10, 3, 32, 125_485_696, 848_954, 853_018),  # He et al.: 0.85M
    ("resnet110", 10, 3, 32, 252_887_680, 1_719_866, 1_727_962),  # He et al.: 1.7M
    ("resnet164", 10, 3, 32, 247_646_720, 1_679_034, 1_703_258),
    ("resnet164-preact", 10, 3, 32, 247_646_720, 1_679_034, 1_703_258),
    ("vgg16", 10, 3, 32, 313_201_664, 14_715_594, 14_724_042),
    ("lenet", 10, 1, 28, 2_293_000, 431_080, 431_080),  # Caffe's LeNet: 288,000 + 1,600,000 + 400,000 + 5,000
    ("mlp", 10, 1, 28, 545_000, 545_810, 545_810),  # 784 x 500 + 500 x 300 + 300 x 10
    ("convnet", 10, 3, 32, 12_298_240, 89_578, 89_578),  # Caffe's cifar10_full
    ("resnet50", 1000, 3, 224, 4_089_184_256, 25_503_912, 25_557_032),  # torchvision: 25,557,032, 4.09G
    ("resnext50", 1000, 3, 224, 4_230_479_872, 24_960_680, 25_028_904),  # torchvision: 25,028,904, 4.23G
    ("caffenet", 1000, 3, 227, 724_406_816, 60_965_224, 60_965_224),  # Caffe's CaffeNet: 60,965,224
]


@pytest.mark.parametrize(("name", "classes", "channels", "side", "macs", "bare", "whole"), EXACT)
def test_sizes_are_those_of_the_literature(name, classes, channels, side, macs, bare, whole):
    by_layer, *params = measured(name, classes, channels, side)
    assert (sum(by_layer.values()), *params) == (macs, bare, whole)


PRINTED = [  # network, classes, side, parameters (M), whether norms count, MACs (M), where it stands
    ("resnet56", 10, 32, "0.849", False, "125.5", "Kim et al., CVPR 2018, table 1: 0.85M; MACs derived"),
    ("resnet164", 10, 32, "1.679", False, "247.65", "derived: SSS's percentages in Li et al., CVPR 2020, table 1"),
    ("resnet164", 10, 32, "1.703", True, "247.65", "derived, norms counted"),
    ("resnext20", 10, 32, "0.207", False, "35.5", "derived: Li et al., CVPR 2020"),
    ("resnext164", 10, 32, "1.68", False, "251", "derived: Li et al., CVPR 2020"),
    ("wrn-32-4", 100, 32, "7.37", False, "1067", "Kim et al., CVPR 2018, table 2: 7.4M; MACs derived"),
    ("wrn-14-4", 100, 32, "2.73", False, "387", "Kim et al., table 2: 2.7M"),
    ("wrn-32-1", 100, 32, "0.468", False, "68.9", "Kim et al., table 2: 0.47M"),
    ("wrn-14-1", 100, 32, "0.177", False, "26.4", "Kim et al., table 2: 0.18M"),
    ("wrn-14-8", 100, 32, "10.83", False, "1529", "Kim et al., table 3: 10.8M"),
    ("wrn-32-2", 20, 32, "1.84", False, "269", "Kim et al., table 3: 1.8M, 20 coarse classes"),
    ("resnet50", 1000, 224, "25.5", False, "4089", "Huang & Wang, ECCV 2018: 25.5M, 4.09G"),
    ("resnext50", 1000, 224, "25.0", False, "4230", "Huang & Wang: 25.0M, 4.20G (by memory; the form gives 4.23G)"),
    ("caffenet", 1000, 227, "61", True, "724", "Wen et al., NIPS 2016: 665.8M in convolutions, 58.6M in linear layers"),
    ("peleenet", 1000, 224, "2.8", True, "508", "Wang et al., NeurIPS 2018, table 4: 2.8M, 508M"),
]


@pytest.mark.parametrize(("name", "classes", "side", "params", "norms", "macs", "source"), PRINTED)
def test_sizes_agree_with_the_papers_to_the_printed_digits(name, classes, side, params, norms, macs, source):
    by_layer, bare, whole = measured(name, classes, 3, side)
    for count, text in ((whole if norms else bare, params), (sum(by_layer.values()), macs)):
        digits = len(text.partition(".")[2])
        assert f"{count / 1e6:.{digits}f}" == text, source


@pytest.mark.parametrize(
    ("name", "classes", "side", "millions"),
    [
        ("convnet", 10, 32, dict(zip(CONVS[:3], ("2.458", "6.554", "3.277"), strict=True))),
        ("caffenet", 1000, 227, dict(zip(CONVS, ("105.4", "223.9", "149.5", "112.1", "74.8"), strict=True))),
    ],
)
def test_convolutions_cost_what_is_derived_from_the_papers(name, classes, side, millions):
    by_layer, *_ = measured(name, classes, 3, side)
    for path, text in millions.items():
        assert f"{by_layer[path] / 1e6:.{len(text.partition('.')[2])}f}" == text


def test_every_network_of_the_papers_has_its_name():
    named = {"mlp", "lenet", "convnet", "caffenet", "resnet20-projection", "resnet164", "vgg16", "resnet110", *(r[0] for r in PRINTED)}  # fmt: skip
    assert named <= set(NAMES)
