"""The recorded gallery of the first screen: runs of evidence, and one preset, exported to assets/gallery. `python tests/make_gallery.py [NAME ...]`.

A run that is finished in the folder of runs is taken as it is; one that is not is trained first (`ESPALIER_DATA` says where data is).
"""

import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.cli_train import train
from core.evidence.doing import finished
from core.evidence.tables import TABLES
from core.evidence.wanted import Wanted
from core.presets import preset
from core.runs.export import export
from core.runs.folder import RunFolder
from core.runs.home import PROJECT, runs_root
from core.runs.store import Store

FOLDER = PROJECT / "assets" / "gallery"
INDEX = FOLDER / "gallery.json"
GALLERY = {  # name: table (none: the row is a preset, as it is), row, what it is called, what to watch
    "mnist-filters": (
        "ssl-lenet", "ssl-lenet-filters-3.0", "LeNet loses filters",
        "SSL on MNIST: group lasso on filters from a trained baseline, then fine-tuning with the zeros kept.",
    ),
    "mnist-shapes": (
        "ssl-lenet", "ssl-lenet-shapes-5.0", "LeNet loses shapes",
        "SSL on MNIST: taps of every window die with the filters, until a few places of one window are left.",
    ),
    "cifar-blocks": (
        "sss-resnet20", "sss-resnet20.0", "ResNet-20 on CIFAR-10",
        "SSS in one pass: filters and whole residual blocks die while the network learns ten classes of photographs.",
    ),
    "shapes-families": (
        None, "shapes-hierarchy", "Two networks in one",
        "NestedNet on drawn shapes: half of the channels tell four families apart, all of them twenty classes; the page Levels asks both.",
    ),
}  # fmt: skip


def take(name, store):
    """Export one run over what the gallery had of it."""
    table, row, *_ = GALLERY[name]
    by_name = TABLES[table].by_name if table else {row: Wanted(row, row, preset(row).config)}
    run = finished(by_name[row], by_name, store, train)
    target = FOLDER / name
    shutil.rmtree(target, ignore_errors=True)
    export(RunFolder(store.root / run.id), target)
    print(f"{name}: {run.id}, {sum(f.stat().st_size for f in target.rglob('*') if f.is_file()) / 1e6:.1f} MB")


def main(names):
    FOLDER.mkdir(parents=True, exist_ok=True)
    store = Store(Path(runs_root()))
    for name in names or GALLERY:
        take(name, store)
    listed = [
        {"name": name, "title": title, "say": say} for name, (_, _, title, say) in GALLERY.items() if (FOLDER / name).exists()
    ]  # fmt: skip
    INDEX.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
