"""What the processor decides, decided once."""

import pytest
import torch

from core import conditions, latency
from core.config import RunConfig


@pytest.mark.parametrize(
    ("offers", "macs", "layers", "precision"),
    [
        (True, 40e6, 20, "bfloat16"),  # a ResNet-20 at 32x32
        (False, 40e6, 20, "float32"),
        (True, 2.6e6, 20, "float32"),  # the same at 8x8
        (True, 2.3e6, 4, "bfloat16"),  # no more work in all, but in four layers: LeNet at 28x28
    ],
)
def test_auto_takes_bfloat16_only_where_it_is_computed_fast_and_layers_are_large(
    monkeypatch, offers, macs, layers, precision
):
    monkeypatch.setattr(conditions, "offers_bfloat16", lambda: offers)
    assert conditions.fixed(RunConfig(device="cpu", batch_size=128), macs, layers).precision == precision


def test_what_was_fixed_is_not_decided_again(monkeypatch):
    monkeypatch.setattr(conditions, "offers_bfloat16", lambda: True)
    once = conditions.fixed(RunConfig(device="cpu", batch_size=128), 40e6)
    monkeypatch.setattr(conditions, "offers_bfloat16", lambda: False)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert conditions.fixed(once, 40e6) == once


def test_an_instruction_cap_forbids_bfloat16(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert not conditions.offers_bfloat16()


class Fixed(torch.nn.Module):
    """A network that costs what a fake clock says."""

    def __init__(self, clock, seconds):
        super().__init__()
        self.clock, self.seconds = clock, seconds
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, x):
        self.clock.now += self.seconds
        return self.layer(x)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_the_measured_ratio_is_that_of_the_times_and_modes_are_restored():
    clock = Clock()
    dense, compact = Fixed(clock, 0.03).train(), Fixed(clock, 0.02).eval()
    speed = latency.measure(
        dense, compact, torch.zeros(8, 4), 3.0, pairs=11, budget_s=60, clock=clock, layer_macs={"layer": (10, 5)}
    )
    assert speed.measured == pytest.approx(1.5) and speed.low == pytest.approx(1.5) == speed.high
    assert (speed.n, speed.batch, speed.promised) == (11, 8, 3.0)
    assert dense.training and not compact.training
    assert speed.layers[0].promised == 2.0
    assert not dense.layer._forward_hooks and not dense.layer._forward_pre_hooks


def test_a_layer_that_left_as_several_has_the_time_of_all():
    clock = Clock()
    dense, compact = Fixed(clock, 0.0), Fixed(clock, 0.0)
    compact.layer_2 = compact.layer
    compact.layer = torch.nn.Identity()

    def slow(seconds):
        return lambda *_: setattr(clock, "now", clock.now + seconds)

    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.layer_2 = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)

        def forward(self, x):
            return self.layer_2(self.layer(x))

    compact = Two()
    for module, seconds in ((dense.layer, 0.06), (compact.layer, 0.01), (compact.layer_2, 0.02)):
        module.register_forward_pre_hook(slow(0.0))
        module.register_forward_hook(slow(seconds))
    speed = latency.measure(
        dense, compact, torch.zeros(8, 4), 2.0, pairs=7, budget_s=60, clock=clock, layer_macs={"layer": (10, 5)}, sources={"layer_2": "layer"}
    )  # fmt: skip
    assert [layer.path for layer in speed.layers] == ["layer"]
    assert speed.layers[0].compact_ms == pytest.approx(30) and speed.layers[0].measured == pytest.approx(2.0)


def test_pairs_alternate_their_order_so_that_drift_hits_both_alike():
    clock, calls = Clock(), []
    nets = [Fixed(clock, 0.01), Fixed(clock, 0.01)]
    for name, net in zip("ab", nets, strict=True):
        net.register_forward_hook(lambda *_, name=name: calls.append(name))
    latency.measure(*nets, torch.zeros(2, 4), 1.0, pairs=8, budget_s=60, clock=clock)
    assert "".join(calls[6 : 6 + 16]) == "abba" * 4


def test_a_killed_measurement_does_not_hold_the_others_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "_LOCK", tmp_path / "m.lock")
    monkeypatch.setattr(latency, "_FLAG", tmp_path / "m.flag")
    (tmp_path / "m.flag").touch()
    latency.wait_while_measured()
    assert not (tmp_path / "m.flag").exists()


def test_training_waits_while_the_machine_is_measured(tmp_path, monkeypatch):
    import threading
    import time

    monkeypatch.setattr(latency, "_LOCK", tmp_path / "m.lock")
    monkeypatch.setattr(latency, "_FLAG", tmp_path / "m.flag")
    passed = threading.Event()
    with latency.quiet_machine():
        waiting = threading.Thread(target=lambda: (latency.wait_while_measured(), passed.set()))
        waiting.start()
        time.sleep(0.3)
        assert not passed.is_set()
    assert passed.wait(5)
