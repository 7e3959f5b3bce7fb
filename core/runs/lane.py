"""The inference lane: a warm process that answers quick questions about a run's network, beside training.

`python -m core.runs.lane ROOT [DATA]`. One thread of computation, models kept in memory, started on the first
question, gone after ten idle minutes. Protocol: see `lane_client`.
"""

from __future__ import annotations

import json
import secrets
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from core import checkpoint, convex, latency
from core.attribution.pixels import integrated_gradients
from core.config import RunConfig
from core.data import load
from core.data.dataset import Dataset
from core.errors import BadInput, WrongMoment, one_of
from core.forms import rewrite
from core.lessons import answered
from core.runs.folder import RunFolder, write_atomically
from core.runs.home import identity
from core.runs.lane_attribution import AttributionQuestions
from core.runs.lane_client import publish
from core.runs.lane_inspecting import belongs, reshape
from core.runs.lane_levels import LevelQuestions
from core.runs.lane_stands import Stands
from core.runs.lane_units import UnitQuestions
from core.runs.lane_whatif import WhatIfQuestions
from core.trained import trained_network

IDLE_S = 600.0


class Lane(socketserver.ThreadingTCPServer):
    """Listens on 127.0.0.1; answers one question at a time."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, data: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), Line)
        self.token, self.data = secrets.token_hex(16), data
        self.turn, self.last_question = threading.Lock(), time.monotonic()
        self.dataset = lru_cache(4)(lambda name: load(name, data))
        self.network = lru_cache(16)(self._network)
        self.prediction = lru_cache(64)(self._prediction)
        self.solvers = lru_cache(1)(_solvers)
        self.lessons = lru_cache(64)(lambda name, details: answered(name, json.loads(details)))
        stands = Stands(_which, self.network, self.dataset, data)
        self.levels = LevelQuestions(stands)
        self.crossing = WhatIfQuestions(stands)
        self.looks = AttributionQuestions(stands)
        self.units = UnitQuestions(stands)

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer to one question, or {error: sentence}."""
        questions: dict[str, Callable[..., dict[str, Any]]] = {
            "predict": self.predict,
            "form": self.form,
            "solvers": self.solvers,
            "levels": self.levels.levels,
            "part": self.levels.part,
            "nesting": self.levels.nesting,
            "needs": self.levels.needs,
            "extract": self.levels.extract,
            "units": self.crossing.units,
            "whatif": self.crossing.whatif,
            "whatif_proof": self.crossing.proof,
            "belongs": belongs,
            "reshape": reshape,
            "attributions": self.looks.attributions,
            "layer": self.units.layer,
            "unit": self.units.unit,
            "lesson": lambda name, details: self.lessons(name, json.dumps(details)),
            "ready": lambda: {"ready": True},
        }
        self.last_question = time.monotonic()
        try:
            if asked.pop("token", None) != self.token:
                raise BadInput("the lane answers only who knows its secret; ask through lane_client")
            question = asked.pop("question", "")
            if question not in questions:
                raise one_of("question", question, questions)
            if not self.turn.acquire(blocking=False):
                return {"busy": True}
            try:
                return questions[question](**asked)
            finally:
                self.turn.release()
        except (BadInput, WrongMoment) as error:
            return {"error": str(error)}
        except Exception as error:
            traceback.print_exc()
            return {
                "error": f"the lane could not answer ({type(error).__name__}); the reason is in lane.log; ask again"
            }

    def predict(self, folder: str, index: int, epoch: int | None = None, split: str = "test") -> dict[str, Any]:
        """What the network of a run says about one image, after `epoch` epochs (None: the newest checkpoint)."""
        return self.prediction(_which(RunFolder(Path(folder)), epoch), index, split)

    def form(self, folder: str, output: str) -> dict[str, Any]:
        """The compact network of a run written to `output` in the form of its suffix, what was checked in `output`.json."""
        run = RunFolder(Path(folder))
        shape = self.dataset(run.about()["config"]["dataset"]).shape
        told = rewrite(run.compact, Path(output), torch.zeros(1, *shape))
        write_atomically(Path(f"{output}.json"), json.dumps(told))
        return told

    def _prediction(self, file: str, index: int, split: str) -> dict[str, Any]:
        latency.wait_while_measured()
        network, config, done = self.network(file)
        dataset: Dataset = self.dataset(config.dataset)
        part = getattr(dataset, split)
        index %= len(part)
        pixels = part.images[index : index + 1]
        image = dataset.normalise(pixels)
        with torch.no_grad():
            probabilities = network(image).softmax(1)[0]
        said = int(probabilities.argmax())
        return {
            "epoch": done, "index": index, "images": len(part), "label": int(part.labels[index]), "said": said,
            "class_names": list(dataset.class_names), "probabilities": [round(float(p), 4) for p in probabilities],
            "pixels": pixels[0].permute(1, 2, 0).tolist(), "attribution": _rounded(integrated_gradients(network, image, said)[0]),
        }  # fmt: skip

    def _network(self, file: str) -> tuple[nn.Module, RunConfig, int]:
        """The network of a checkpoint, in eval mode."""
        config = checkpoint.load(Path(file))[1]["config"]
        network, settings, _, epoch = trained_network(Path(file), self.dataset(config["dataset"]))
        return network, settings, epoch


class Line(socketserver.StreamRequestHandler):
    """One question, one answer."""

    def handle(self) -> None:
        """Read a line of JSON (up to a MiB: an image may be in it), write a line of JSON."""
        try:
            asked = json.loads(self.rfile.readline(2**20))
        except json.JSONDecodeError:
            return
        lane: Lane = self.server  # type: ignore[assignment]
        self.wfile.write((json.dumps(lane.answer(asked)) + "\n").encode())


def _solvers() -> dict[str, Any]:
    """What the solvers of SSL and of SSS do on a convex problem of each."""
    return {"ssl": convex.group_lasso(), "sss": convex.factors()}


def _which(folder: RunFolder, epoch: int | None) -> str:
    """The checkpoint after `epoch` epochs, or the nearest one before it that is kept."""
    files = sorted(folder.checkpoints.glob("[0-9]*.safetensors"))
    if not files:
        raise folder.lacks("a checkpoint")
    kept = [file for file in files if epoch is None or int(file.stem) <= epoch]
    if not kept:
        raise BadInput(
            f"{folder.path.name} must have a checkpoint at or before epoch {epoch}; the first is {int(files[0].stem)}; choose that or a later one"
        )
    return str(kept[-1])


def _rounded(values: Tensor) -> list[list[float]]:
    scale = float(values.abs().max()) or 1.0
    return [[round(v / scale, 3) for v in row] for row in values.tolist()]


def main(root: Path, data: Path | None) -> None:
    """Serve until idle for ten minutes; a second lane for the same folder leaves at once."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    try:
        with FileLock(root / "lane.lock", timeout=0), Lane(data) as lane:
            (root / "lane.json").unlink(missing_ok=True)  # of a lane before this one
            pid, created = identity()
            threading.Thread(target=lane.serve_forever, daemon=True).start()
            contact = {"port": lane.server_address[1], "token": lane.token, "pid": pid, "created": created}
            while time.monotonic() - lane.last_question < IDLE_S:
                if not (root / "lane.json").exists():
                    publish(root, contact)
                time.sleep(1)
            lane.shutdown()
    except Timeout:
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
