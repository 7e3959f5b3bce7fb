"""A person's own network under every method: found by following it, trained, cut, resumed; and whose code is trusted."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import zoo
from torch import nn

from core import own, training
from core.config import RunConfig, checked
from core.data import load
from core.errors import BadInput
from core.networks import build, factory
from core.networks.describe import outline_of, structures_of
from core.networks.names import own_named, shown
from core.networks.remaining import remaining
from core.structure.outlining import described

ROOT = Path(__file__).resolve().parents[1]
BUILT_IN = {
    "lenet": (1, 28, 28), "mlp": (1, 28, 28), "convnet": (3, 32, 32), "resnet20": (3, 32, 32), "resnet20-projection": (3, 32, 32),
    "wrn-14-1": (3, 32, 32),
}  # fmt: skip

NETS = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inputs, filters, stride=1):
        super().__init__()
        self.first = nn.Conv2d(inputs, filters, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.second = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        self.down = nn.Sequential(nn.Conv2d(inputs, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)) if inputs != filters else nn.Identity()

    def forward(self, x):
        return torch.relu(self.norm2(self.second(nn.functional.silu(self.norm1(self.first(x))))) + self.down(x))


class Mine(nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.description, self.input_shape = "its own", None
        self.stem = nn.Conv2d(in_channels, 8, 3, 1, 1)
        self.body = nn.Sequential(Block(8, 8), Block(8, 16, 2))
        self.depthwise = nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False)
        self.grouped = nn.Conv2d(16, 16, 1, groups=4, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(16) for _ in range(2))
        self.hidden = nn.Linear(16, 20)
        self.norm = nn.BatchNorm1d(20)
        self.scores = nn.Linear(20, num_classes)

    def forward(self, x):
        x = torch.relu(self.norms[0](self.depthwise(self.body(torch.relu(self.stem(x))))))
        x = torch.relu(self.norms[1](self.grouped(x))).mean((2, 3))
        return self.scores(torch.relu(self.norm(self.hidden(x))))


def make(num_classes, in_channels):
    return Mine(num_classes, in_channels)


def narrow(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, num_classes))


def wrong():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        return self.layer(x.flatten(1)) if x.sum() > 0 else self.layer(-x.flatten(1))


WIDTH = 30
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "nets.py").write_text(NETS, encoding="utf-8")
    return tmp_path


def name(home, function="make"):
    return f"nets:{function}@{home / 'code'}"


def config(network, *phases, **settings):
    plain = {"network": network, "dataset": "digits", "measure_every": 0, "threads": 1, "batch_size": 128}
    return checked(plain | {"phases": list(phases)} | settings)


@pytest.mark.parametrize("network", BUILT_IN)
def test_following_finds_what_the_built_in_networks_say_of_themselves(network):
    shape = BUILT_IN[network]
    made = build(network, num_classes=10, in_channels=shape[0], image_size=shape[1])
    found = described(made, torch.zeros(1, *shape))
    assert set(found.structures) == set(structures_of(made))
    mine, theirs = found.outline, outline_of(made)
    assert [blocks for _, blocks in mine.stages] == [blocks for _, blocks in theirs.stages]
    assert (mine.stem, mine.head) == (theirs.stem, theirs.head)


@pytest.mark.parametrize(
    ("network", "kinds", "blocks"),
    [
        ("mobilenet_v2", {"filter", "block"}, 1), ("mobilenet_v3", {"filter", "block", "neuron"}, 3), ("densenet", {"filter"}, 0),
        ("resnext50", {"filter", "group", "block"}, 4), ("vit", {"filter", "neuron", "block"}, 4), ("unet", {"filter"}, 0),
        ("mlp_residual", {"neuron"}, 0),
    ],
)  # fmt: skip
def test_sites_of_other_families(network, kinds, blocks):
    found = described(zoo.small(network).eval(), torch.zeros(zoo.example_shape(network)))
    assert {site.kind for site in found.structures} == kinds
    assert sum(site.kind == "block" for site in found.structures) == blocks
    drawn = [path for _, stage in found.outline.stages for block in stage for path in block.convs]
    assert len(drawn) == len(set(drawn)) and found.left


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.squeeze, self.excite = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1)
        self.last = nn.Conv2d(6, 3, 1)

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.last(x * torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3), keepdim=True))))))


def test_following_a_dense_network_finds_its_blocks_and_stages():
    """PeleeNet's own outline is the oracle: two ways a dense layer, a transition a stage. Its stem is followed as a stage's beginning."""
    made = build("peleenet", num_classes=10, in_channels=3, image_size=64)
    stages = [
        [(b.skip, b.convs) for b in blocks] for _, blocks in described(made, torch.zeros(1, 3, 64, 64)).outline.stages
    ]
    theirs = [[(b.skip, b.convs) for b in blocks] for _, blocks in outline_of(made).stages]
    assert [stages[0][-len(theirs[0]) :], *stages[1:]] == theirs


class Inception(nn.Module):
    """Three ways side by side, a pool before one of them; then a way beside its own input."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.near, self.narrow, self.far = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 6, 3, padding=1)
        self.pooled, self.more = nn.Conv2d(8, 2, 1), nn.Conv2d(12, 12, 3, padding=1)
        self.scores = nn.Linear(24, 3)

    def forward(self, x):
        x = torch.relu(self.first(x))
        wide = [self.near(x), self.far(torch.relu(self.narrow(x))), self.pooled(nn.functional.max_pool2d(x, 3, 1, 1))]
        x = torch.relu(torch.cat(wide, 1))
        return self.scores(torch.cat([x, torch.relu(self.more(x))], 1).mean((2, 3)))


def test_ways_of_a_concatenation_are_drawn_side_by_side_and_a_reader_loses_its_share_of_each():
    network = Inception().eval()
    found = described(network, torch.zeros(1, 1, 8, 8))
    assert [[(b.skip, b.convs) for b in blocks] for _, blocks in found.outline.stages] == [
        [("way", ("near",)), ("way", ("narrow", "far")), ("way", ("pooled",)), ("concat", ("more",))]
    ]
    shares = {"near": 4 / 12, "far": 6 / 12, "pooled": 2 / 12}
    assert found.reads["more"] == pytest.approx(shares)
    assert found.reads["scores"] == pytest.approx({name: share / 2 for name, share in shares.items()} | {"more": 0.5})
    assert found.reads["far"] == {"narrow": 1.0}


def test_a_gate_is_drawn_beside_the_trunk_and_starves_nobody():
    """Squeeze-and-excitation: a gate that dies leaves the MACs of its readers alone. Inside a residual block it is a part of it."""
    found = described(Gated().eval(), torch.zeros(1, 1, 8, 8))
    assert [[(b.skip, b.convs) for b in blocks] for _, blocks in found.outline.stages] == [
        [("gate", ("squeeze", "excite"))]
    ]
    assert found.reads == {"first": {}, "squeeze": {}, "excite": {"squeeze": 1.0}, "last": {}}
    inside = described(zoo.small("mobilenet_v3").eval(), torch.zeros(zoo.example_shape("mobilenet_v3"))).outline
    residual = [block for _, stage in inside.stages for block in stage if block.skip == "identity"]
    assert any(len(block.convs) > 3 for block in residual)


def test_the_running_macs_follow_what_a_layer_reads(home):
    network = own.network_for(name(home), load("digits", None), 0, None)
    layout = own.layout_of("mine", network).as_json()
    alive = {site.site: site.total for site in structures_of(network)}
    whole = remaining(layout, alive)
    assert sum(macs for macs, _ in whole.values()) == layout["macs"]
    fewer = remaining(layout, alive | {"hidden/neuron": 5, "body.0.first/filter": 4})
    ratio = {path: round(fewer[path][0] / whole[path][0], 9) for path in whole}
    assert {path: r for path, r in ratio.items() if r < 1} == {
        "body.0.first": 0.5, "body.0.second": 0.5, "hidden": 0.25, "scores": 0.25,
    }  # fmt: skip


def test_what_is_learned_in_a_network_of_ones_own(home):
    dataset = load("digits", None)
    network = own.network_for(name(home), dataset, 0, None)
    sites = {(s.site, s.kind, s.module, s.total) for s in structures_of(network)}
    assert sites == {
        ("body.0.first/filter", "filter", "body.0.norm1", 8), ("body.0/block", "block", "body.0.norm2", 1),
        ("body.1.first/filter", "filter", "body.1.norm1", 16), ("body.1/block", "block", "body.1.norm2", 1),
        ("depthwise/filter", "filter", "norms.0", 16), ("grouped/group", "group", "norms.1", 4), ("hidden/neuron", "neuron", "norm", 20),
    }  # fmt: skip
    layout = own.layout_of("mine", network)
    assert [[block.skip for block in stage.blocks] for stage in layout.stages] == [
        ["identity"],
        ["projection", "none", "none"],
    ]
    macs = {c.path: c.macs for stage in layout.stages for block in stage.blocks for c in block.convs}
    assert macs["depthwise"] == 16 * 9 * 16 and macs["grouped"] == 16 * 4 * 16
    assert network.description == "its own" and network.input_shape is None, "its own attributes are left alone"


LEARNED = {
    "sss": {"method": "sss", "kinds": ["filter", "group", "block"], "strength_filter": 1.0, "strength_group": 1.0, "strength_block": 1.0, "lr_drops": [0.9]},
    "ssl": {"method": "ssl", "kinds": ["filter", "channel"], "strength_filter": 0.5, "strength_channel": 0.5},
    "joint": {"method": "ssl", "kinds": ["filter"], "strength_filter": 0.7, "joint": ["norms", "readers"]},
    "slimming": {"method": "slimming", "kinds": ["filter"], "strength_filter": 0.5, "slim_below": 0.5},
    "l1": {"method": "l1", "kinds": ["weight"], "strength_weight": 0.05},
    "prune": {"method": "prune", "kinds": ["filter"], "keep": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("method", LEARNED)
def test_every_method_removes_from_a_network_of_ones_own_and_is_certified(home, method):
    learn = {"epochs": 2, "lr": 0.05, **LEARNED[method]}
    tuned = {"method": "dense", "kinds": [], "epochs": 1, "lr": 0.01, "starts_from": "previous", "freeze": "structures"}
    result = list(training.run(config(name(home), learn, tuned)))[-1].result
    dead = [row for row in result["survival"] if row["alive"] < row["total"]]
    assert result["certificate"]["verdict"] in ("exact", "inconclusive", "nothing-removed")
    assert dead if method != "l1" else result["macs"]["compact"] <= result["macs"]["dense"]
    if result["certificate"]["verdict"] == "exact":
        assert result["macs"]["compact"] < result["macs"]["dense"]


def test_the_seed_decides_the_first_weights_and_torchs_own_numbers_go_on(home):
    dataset = load("digits", None)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, same, other = (own.network_for(name(home), dataset, seed, None) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one.stem.weight, same.stem.weight) and not torch.equal(one.stem.weight, other.stem.weight)
    own.draw_anew(one, 2)
    assert torch.equal(one.stem.weight, other.stem.weight)


def test_folders_with_modules_of_the_same_name_do_not_mix_and_changed_code_is_seen(home):
    other = home / "other"
    other.mkdir()
    (other / "nets.py").write_text(NETS.replace("WIDTH = 30", "WIDTH = 7"), encoding="utf-8")
    dataset = load("digits", None)
    first = own.network_for(name(home, "narrow"), dataset, 0, None)
    second = own.network_for(f"nets:narrow@{other}", dataset, 0, None)
    assert (first[1].out_features, second[1].out_features) == (30, 7) and "nets" not in sys.modules
    (other / "nets.py").write_text(NETS.replace("WIDTH = 30", "WIDTH = 11"), encoding="utf-8")
    assert own.network_for(f"nets:narrow@{other}", dataset, 0, None)[1].out_features == 11


def command(*words, at):
    return subprocess.run(
        [sys.executable, "-m", "core", *words, "--runs", str(at.parent / "runs")], cwd=at, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(at)},
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_of_ones_own_network_is_measured_cut_and_resumed_from_elsewhere_but_not_on_another_machine(home):
    settings = ("--set", "epochs=2", "--set", "strength_block=2", "--set", "threads=1")
    done = command("run", "digits-sss", "--network", "nets:make", *settings, "--json", at=home / "code")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    run = document["run"]
    assert document["config"]["network"] == name(home) and document["survival"]
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    cut = command("compact", run, "-o", "small.safetensors", "--json", at=elsewhere)
    assert cut.returncode == 0, cut.stderr
    shutil.copytree(home / "runs" / run, home / "foreign" / "runs" / run)
    os.utime(home / "foreign" / "runs" / run / "run.json", (0, 0))  # no longer new: it is taken in
    (home / "foreign" / "here").mkdir()
    assert run in command("runs", at=home / "foreign" / "here").stdout
    refused = command("compact", run, "-o", "small.safetensors", at=home / "foreign" / "here")
    assert (
        refused.returncode == 2 and "it is a person's own code" in refused.stderr and "Traceback" not in refused.stderr
    )
    (home / "code" / "nets.py").write_text(
        NETS.replace("8, 3, 1, 1)", "9, 3, 1, 1)")
        .replace("Block(8, 8)", "Block(9, 9)")
        .replace("Block(8,", "Block(9,"),
        encoding="utf-8",
    )
    changed = command("compact", run, "-o", "other.safetensors", at=elsewhere)
    assert changed.returncode == 2 and "its code has changed since" in changed.stderr


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("wrong", r"must give 10 class scores an image; got \(2, 3\) for 2 images"), ("missing", "the function of nets:missing must be one of"),
        ("Branching", "could not be followed"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_from_is_refused_in_a_sentence(home, function, words):
    with pytest.raises(BadInput, match=words):
        own.network_for(name(home, function), load("digits", None), 0, None)


def test_settings_take_own_networks_only_with_their_folder():
    with pytest.raises(BadInput, match="a person's own code, which the command line alone may name"):
        checked({"network": "nets:make"})
    for text in ("nets:make@relative", "nets make@/a", "nets:make@"):
        with pytest.raises(BadInput, match="network must be one of"):
            checked({"network": text})
    kept = RunConfig(network="pkg.nets:make@/somewhere/with space@2").network
    assert (
        own_named(kept).folder == Path("/somewhere/with space@2")
        and shown(kept) == "pkg.nets:make"
        and shown("lenet") == "lenet"
    )


def test_a_damaged_list_of_trusted_networks_trusts_nothing(tmp_path):
    own.trust(tmp_path, "a:b@/c")
    own.trust(tmp_path, "a:b@/c")
    assert own.trusted(tmp_path) == ["a:b@/c"]
    for text in ("{", '{"a": 1}', "[1, null]"):
        (tmp_path / own.FILE).write_text(text, encoding="utf-8")
        assert own.trusted(tmp_path) == []


def test_a_module_on_pythons_path_can_make_a_network_too():
    made = factory.make("torch.nn:Identity", torch.zeros(1, 3))
    assert type(made) is nn.Identity and "torch.nn" in sys.modules
