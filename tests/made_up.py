"""A run that trains only in appearance: its structure is real, its history drawn. For what a screen costs, and when it is drawn."""

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from core import events as ev
from core.config import with_settings
from core.controls import Controls
from core.presets import preset
from core.runs import home
from core.runs.control import new_run
from core.runs.folder import Recorder, RunFolder
from core.training import Training

BEHIND = 200  # epochs


class MadeUp:
    """A run whose history is drawn: factors fall, units die at their own epochs."""

    def __init__(self, store, network="resnet164", behind=BEHIND, seconds=1):
        config = with_settings(
            preset("digits-sss").config, {"network": network, "epochs": 2 * BEHIND, "measure_every": 0}
        )
        self.store, self.name = store, new_run(store, config, foreground=True)  # a queued one would be trained
        happens = Training(config, None, None, Controls(())).run(resume=False)
        self.started, self.done = next(happens), next(e for e in happens if isinstance(e, ev.EpochDone))
        self.recorder = Recorder(RunFolder(store.root / self.name))
        self.recorder.record(self.started)
        self.total = sum(site["total"] for site in self.started.sites)
        self.death = np.random.default_rng(0).integers(20, 4 * BEHIND, self.total)
        self.epoch, self.ended, self.seconds = 0, threading.Event(), seconds
        while not store.claim(self.name, *home.identity()):
            time.sleep(0.2)
        store.set_state(self.name, "running")
        for _ in range(behind + 1):
            self.write()

    def write(self):
        """One more epoch."""
        epoch, living, offset, alive = self.epoch, self.death > self.epoch, 0, {}
        for site in self.started.sites:
            alive[site["site"]] = int(living[offset : offset + site["total"]].sum())
            offset += site["total"]
        accuracy = 1 - np.exp(-epoch / 40) * 0.9
        numbers = {
            "train_loss": 2 - accuracy,
            "train_accuracy": accuracy,
            "val_loss": 2 - accuracy,
            "val_accuracy": accuracy,
            "lr": 0.1,
        }
        where = {"step": epoch * 9, "epoch": epoch, "phase": 0}
        done = {
            "strengths": self.done.strengths,
            "macs": self.done.macs * living.mean(),
            "seconds": float(self.seconds),
            "alive": alive,
        }
        self.recorder.record(ev.EpochDone(**where, **numbers, **done))
        values = (np.exp(-epoch / 90) * living).astype("f4")
        self.recorder.record(ev.Structure(**where, values=values, effective=values, alive=living.astype("u1")))
        self.progress = {
            "step": epoch * 9,
            "epoch": epoch,
            "epochs": 2 * BEHIND,
            "images_per_s": 400.0,
            "seconds_left": 900.0,
            "fraction": epoch / 2 / BEHIND,
        }
        self.store.beat(self.name, self.progress)
        self.epoch += 1

    def grow(self):
        """An epoch every `seconds` until told to end."""
        second = 0
        while not self.ended.wait(1.0):
            second += 1
            if second % self.seconds == 0:
                self.write()
            else:
                self.store.beat(self.name, self.progress)


@contextmanager
def files_of_at_most(size: int):
    """No file of this process can grow beyond ``size``: a real write fails in the middle, as on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
