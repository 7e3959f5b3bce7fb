"""The run is a generator: `for event in run(config): …` trains, watches, measures, cuts and proves.

It knows neither threads nor screens. What people ask of a living run comes in through `Controls`, as data (`obeying`); what
happens goes out as events (`observing`). It is kept and put back (`resuming`), and ended (`ending`). The consumer handles each event
before training goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core import checkpoint_file, conditions, cut, latency, standing
from core import events as ev
from core.compacting import compacted
from core.config import Phase, RunConfig
from core.controls import Controls
from core.data import batches, load
from core.ending import finish
from core.methods import all_sites, start
from core.methods.base import MethodRun
from core.nested.knowledge import endless, views_of
from core.obeying import obey
from core.objective import Objective
from core.observing import observe, timed_now
from core.own import layout_of, network_for
from core.resuming import keep, restore
from core.schedules import lr_at, strength_factor
from core.starting import starting
from core.trained import source_weights


class Diverged(RuntimeError):
    """The loss stopped being a number."""


def run(
    config: RunConfig,
    *,
    folder: Path | None = None,
    data: Path | None = None,
    controls: Controls | None = None,
    resume: bool = False,
) -> Iterator[ev.Event]:
    """Train to the end and yield what happens. Checkpoints and the compact network go to `folder`, if given.

    `resume` goes on from the newest checkpoint in `folder`, bit-identically (CPU, same threads). Raises BadInput for a
    data set that is not there, Diverged when the loss is no longer finite.
    """
    training = Training(config, folder, data, controls or Controls(config.steering))
    yield from training.run(resume)


class Training:
    """The state of one run: where it stands, its network, its method, its sources of randomness."""

    def __init__(self, config: RunConfig, folder: Path | None, data: Path | None, controls: Controls) -> None:
        self.dataset, self.data = load(config.dataset, data), data
        root = None if folder is None else folder.absolute().parent
        self.network = network_for(config.network, self.dataset, config.seed, root)
        self.layout = layout_of(config.network, self.network).as_json()
        layers = sum(p.ndim > 1 for p in self.network.parameters())
        self.config = conditions.fixed(config, self.layout["macs"], layers)
        conditions.prepare_process(self.config)
        self.folder, self.controls = folder, controls
        self.device = torch.device(self.config.device)
        self.dataset = self.dataset.to(self.device)
        self.order = torch.Generator().manual_seed(self.config.seed + 1)
        self.sites = all_sites(config.phases, self.network)
        self.draws = any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p for m in self.network.modules())
        self.learned: float | None = None  # test accuracy before fine-tuning
        self.step = self.epoch = self.phase_index = self.epoch_in_phase = 0
        self.collapsed: set[str] = set()
        self.method: MethodRun
        self.objective: Objective
        self.rate = self.measuring_s = self.training_s = self.processor_s = 0.0

    # the run

    def run(self, resume: bool) -> Iterator[ev.Event]:
        """All phases, then cut, proof and measurement."""
        found = checkpoint_file.latest(self.folder / "checkpoints") if resume and self.folder else None
        facts = restore(self, found) if found else self.begin_phase(0)
        yield self._started(resumed=found is not None)
        if found is None:
            yield from self._say_what_trains()
            yield from observe(self)
            yield from keep(self)
        else:
            self.collapsed = set(facts["collapsed"])
        while True:
            while self.epoch_in_phase < self.phase.epochs:
                yield from self._epoch()
                if self.controls.stopping:
                    yield ev.Stopped(**self.where())
                    return
            if self.phase_index + 1 == len(self.config.phases):
                break
            if self.config.phases[self.phase_index + 1].freeze != "nothing":
                self.learned = cut.accuracy(self.network, self.dataset, "test", self.config.device)
            self.begin_phase(self.phase_index + 1)
            yield from self._say_what_trains()
        yield from finish(self)

    def _say_what_trains(self) -> Iterator[ev.Event]:
        """That the compact network trains in place of the whole one, where it does."""
        if self.compacted:
            text = f"{self.phase.name}: only the compact network trains, {100 * self.compacted.share:.0f} % of the MACs"
            yield ev.Notice(**self.where(), text=text)

    def begin_phase(self, index: int, fresh: bool = True, kept: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
        """Install the method of phase `index` and a fresh optimizer. `fresh`: not on the way to a checkpoint, which has `kept`."""
        self.phase_index, self.epoch_in_phase = index, 0
        shape: dict[str, Tensor] = {}
        if index or fresh:
            network = self.method.folded() if index else self.network
            self.network, shape = starting(self.phase, index > 0, network, self.config, self.folder, self.dataset)
        self.network = self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.views = views_of(self.phase.levels, self.dataset, self.data)
        decay = self.config.weight_decay
        self.method = start(
            self.phase, self.network, self.config.momentum, decay, self.sites, self.views, kept, self.config.seed
        )
        for name, mask in shape.items():
            zero = mask.to(self.device)
            self.method.frozen[name] = zero | self.method.frozen.get(name, zero)
        self.compacted = compacted(self.network, self.phase, self.method.frozen) if fresh else None
        teacher = None
        if self.phase.soft_targets:
            teacher = source_weights(self.folder, self.config.source, self.config, self.dataset).to(self.device).eval()
        self.objective = Objective(self.config, self.phase, teacher)
        self.make_optimizer()
        return {}

    def make_optimizer(self) -> None:
        """A fresh optimizer, and a fresh average of weights, for the network that trains."""
        small = self.compacted
        self.optimizer = torch.optim.SGD(
            small.parameter_groups(self.method.weight_decay) if small else self.method.parameter_groups(),
            lr=self.phase.lr,
            momentum=self.config.momentum,
            nesterov=self.config.momentum > 0,
            foreach=True,
        )
        self.average = [tensor.clone() for tensor in standing.averaged(self.learner)] if self.phase.ema else []

    @property
    def learner(self) -> nn.Module:
        """The network that trains: the whole one, or what is left of it where the rest is frozen at zero."""
        return self.compacted.network if self.compacted else self.network

    def _end_phase(self) -> None:
        """Take the average of the weights where one was kept; let the method cut what it cuts at the end."""
        if self.average:
            with torch.no_grad():
                torch._foreach_copy_(standing.averaged(self.learner), self.average)
        self.method.recalibrate_(lambda: batches(self.dataset.train, self.dataset, self.config.batch_size, train=False))
        self.method.finish_()

    @property
    def phase(self) -> Phase:
        """The settings of the phase that runs now."""
        return self.config.phases[self.phase_index]

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer updates in one pass over the training images."""
        return math.ceil(len(self.dataset.train.labels) / self.config.batch_size)

    def where(self) -> dict[str, int]:
        """Step, epoch and phase of now, as every event begins."""
        return {"step": self.step, "epoch": self.epoch, "phase": self.phase_index}

    def _started(self, resumed: bool) -> ev.Started:
        sites = [{"site": s.site, "kind": s.kind, "total": s.total} for s in self.method.sites]
        return ev.Started(
            **self.where(), config=self.config.model_dump(mode="json"), layout=self.layout, sites=sites, resumed=resumed,
            dense={"macs": self.layout["macs"], "params": self.layout["params"]}, conditions=conditions.described(self.config),
            data={
                "mean": list(self.dataset.mean), "std": list(self.dataset.std), "shape": list(self.dataset.shape),
                "class_names": list(self.dataset.class_names), "val_images": len(self.dataset.val),
            },
        )  # fmt: skip

    # one epoch

    def _epoch(self) -> Iterator[ev.Event]:
        began, self.measuring_s = time.perf_counter(), 0.0
        busy = time.process_time()
        self.learner.train()
        self.method.begin_epoch(
            lambda dataset, number: endless(dataset, self.config, self.config.seed + 7919 * (self.epoch + 1) + number)
        )
        loss_sum, right = torch.zeros((), device=self.device), torch.zeros((), dtype=torch.int64, device=self.device)
        seen, last_word = 0, began
        for images, labels in batches(
            self.dataset.train, self.dataset, self.config.batch_size,
            generator=self.order, train=True, augment=self.config.augment,
        ):  # fmt: skip
            yield from obey(self)
            if self.controls.stopping:
                return
            self.measuring_s += latency.wait_while_measured()
            loss, hits = self._step_(images, labels)
            loss_sum += loss * len(labels)
            right += hits
            seen += len(labels)
            if (now := time.perf_counter()) - last_word > 0.5:
                self.rate = seen / max(1e-9, now - began - self.measuring_s)
                last_word = now
                yield self._progress(seen)
        self.epoch += 1
        self.epoch_in_phase += 1
        seconds = time.perf_counter() - began - self.measuring_s
        self.training_s += seconds
        self.processor_s += time.process_time() - busy
        self.rate = seen / seconds
        mean = float(loss_sum) / seen
        if not math.isfinite(mean):
            rule = (
                f"the loss must stay finite; got {mean}; lower lr ({self.phase.lr}) or the strengths, and start again"
            )
            raise Diverged(f"phase {self.phase.name}, epoch {self.epoch}: {rule}")
        yield self._progress(seen)
        if self.epoch_in_phase == self.phase.epochs:
            self._end_phase()
        if self.compacted:
            self.compacted.put_back_()
        yield from observe(self, (mean, int(right) / seen, seconds))
        if (
            self.config.measure_every
            and self.epoch % self.config.measure_every == 0
            and self.epoch < self.config.epochs
        ):
            yield timed_now(self, asked=False)
        yield from keep(self)

    def _step_(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One update of weights (SGD) and structure (the method), from one backward pass."""
        progress = (self.epoch_in_phase + (self.step_in_epoch / self.steps_per_epoch)) / self.phase.epochs
        lr = lr_at(self.phase, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if (
            self.draws
        ):  # dropout draws from torch's own generator: from the seed and the step, so that a run can be repeated
            torch.default_generator.manual_seed((self.config.seed << 32) + self.step)
        self.method.at_(progress)
        if self.compacted:
            logits, loss = self.objective(self.compacted.network, images, labels)
            loss.backward()
            self.optimizer.step()
            self.compacted.hold_()
        else:
            self.method.gradient_elsewhere_(
                lambda: self.objective.gradient_(self.network, self.optimizer, images, labels)
            )
            logits, loss = self.method.backward_(self.objective, images, labels)
            strength = strength_factor(self.phase, progress)
            self.method.before_step_(lr, strength)
            self.optimizer.step()
            self.method.after_step_(lr, strength)
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            torch._foreach_lerp_(self.average, standing.averaged(self.learner), 1 - self.phase.ema)
        self.step += 1
        return loss.detach(), (logits.argmax(1) == labels).sum()

    @property
    def step_in_epoch(self) -> int:
        """Updates done in the epoch that runs now."""
        return self.step - self.epoch * self.steps_per_epoch

    def _progress(self, seen: int) -> ev.Progress:
        images = len(self.dataset.train.labels)
        left = (self.config.epochs - self.epoch) * images - (seen if self.step_in_epoch else 0)
        fraction = 1 - left / (self.config.epochs * images)
        return ev.Progress(
            **self.where(),
            images_per_s=self.rate,
            seconds_left=left / max(1e-9, self.rate),
            epochs=self.config.epochs,
            fraction=fraction,
        )
