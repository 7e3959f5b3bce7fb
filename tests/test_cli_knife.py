"""`inspect` and `cut` on runs, files from elsewhere, factories and compact files: documents, words, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from core.cli import main
from core.data import DATA_VARIABLE, missing
from core.networks import build
from core.structure import load, plan_zeros

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "assets" / "demo"
STRANGER = ROOT.parent / "shared" / "checkpoints" / "resnet20-12fca82f.th"
GIVEN = os.environ.get(DATA_VARIABLE)

NETS = '''
import torch
from torch import nn

number = 3


def small():
    """Two of six filters do nothing, one of them says a constant."""
    print("made")
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 10))
    with torch.no_grad():
        network[0].weight[[1, 4]] = 0
        network[0].bias[1], network[0].bias[4] = 0.7, 0
    return network


def constant():
    network = small()
    with torch.no_grad():
        network[5].weight.zero_()
    return network


class Noisy(nn.Sequential):
    def forward(self, x):
        print("computing")
        return super().forward(x)


def noisy():
    return Noisy(*small())


def half():
    return small().half()


def needs(width):
    return nn.Linear(width, 2)


def text():
    return "a network"


def breaks():
    raise RuntimeError("no weights\\nat hand")


def leaves():
    raise SystemExit(0)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with a module of factories, and an empty folder of runs."""
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "odd.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESPALIER_RUNS", str(tmp_path / "runs"))
    yield tmp_path
    for name in ("nets", "broken", "odd"):
        sys.modules.pop(name, None)


@pytest.fixture
def espalier(folder, monkeypatch, capsys):
    """Runs a command in this process: (exit status, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["core", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        out, err = capsys.readouterr()
        return done.value.code, out, err

    return run


@pytest.fixture
def document(espalier):
    """Runs a command with --json that must succeed: the document, which is all of standard output."""

    def run(*arguments):
        code, out, err = espalier(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


def lenet(**more) -> nn.Module:
    """A LeNet on digits, three filters of which are exactly zero."""
    network = build("lenet", **({"num_classes": 10, "in_channels": 1, "image_size": 8} | more)).eval()
    with torch.no_grad():
        network.conv1.weight[[2, 3, 11]] = 0
        network.conv1.bias[[2, 3, 11]] = 0
    return network


def stranger(folder: Path) -> Path:
    theirs = {f"module.net_{key}": tensor for key, tensor in lenet().state_dict().items()}
    torch.save({"state_dict": theirs, "epoch": 3}, folder / "lenet.pt")
    return folder / "lenet.pt"


FILE = ("lenet.pt", "--network", "lenet", "--dataset", "digits")


def test_inspect_of_a_factory_says_what_could_go_and_prints_one_document(document):
    seen = document("inspect", "nets:small", "--input", "1,1,8,8")
    assert set(seen) >= {"units", "refilled", "macs", "params", "removable", "source"}
    assert seen["source"] == "factory nets:small" and seen["removable"]["filter"] == 2
    assert seen["units"]["zero"] == 1 and seen["units"]["uniform"] == 1
    assert seen["params"] == 6 * 9 + 6 + 5 * 6 * 9 + 5 + 10 * 5 + 10
    assert seen["macs"] == 64 * 6 * 9 + 36 * 5 * 6 * 9 + 10 * 5


def test_inspect_tells_zeros_layer_by_layer_what_they_buy_and_the_measured_speed(document, espalier):
    seen = document("inspect", "nets:small", "--input", "1,1,8,8", "--measure", "2")
    first, second = seen["layers"][:2]
    assert (first["filters"], first["zero_filters"], first["zero_weights"], first["leave"]) == (6, 2, 18, 2)
    assert first["units"] == {"zero": 1, "uniform": 1, "field": 0, "alive": 4} and second["zero_channels"] == 0
    assert seen["compact"]["params"] == seen["params"] - 2 * (9 + 1) - 2 * 45  # filters, biases, what read them
    assert seen["speed"]["batch"] == 2 and seen["speed"]["n"] >= 7
    assert "x measured (" in espalier("inspect", "nets:small", "--input", "1,1,8,8", "--measure", "2")[1]


def test_inspect_for_people_is_words(espalier):
    code, out, err = espalier("inspect", "nets:small", "--input", "1,1,8,8")
    assert code == 0 and "factory nets:small: " in out and "removable: 2 filters" in out and err == "made\n"


def test_inspect_with_a_data_set_gives_the_accuracy_with_and_without_the_zeros(document, espalier, folder):
    stranger(folder)
    seen = document("inspect", *FILE)
    assert seen["accuracy"]["dense"] == seen["accuracy"]["compact"] and seen["removable"]["filter"] == 3
    assert "accuracy on the test images of digits: " in espalier("inspect", *FILE)[1]
    assert "accuracy" not in document("inspect", *FILE[:3], "--input", "1,1,8,8")


def test_cut_of_a_factory_removes_its_zeros_exactly(document, folder):
    done = document("cut", "nets:small", "--input", "1,1,8,8", "-o", "out/small.safetensors")
    assert set(done) >= {"file", "removed", "refilled", "macs", "macs_per_image", "params", "certificate"}
    assert done["removed"]["filter"] == 2 and done["certificate"]["verdict"] == "exact"
    assert done["certificate"]["reference"] == "unmodified" and "note" not in done and "accuracy" not in done
    assert done["certificate"]["sizes"] == [[8, 8], [16, 16]] and done["certificate"]["inputs"] == 32
    assert done["params"]["dense"] - done["params"]["compact"] >= 2 * (9 + 1) + 2 * 5 * 9 - 5
    sys.path.insert(0, str(folder))
    import nets

    sys.path.remove(str(folder))
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(load(done["file"])(x), nets.small().eval()(x), rtol=1e-5, atol=1e-6)


def test_a_network_that_prints_does_not_spoil_the_document(document):
    assert document("inspect", "nets:noisy", "--input", "1,1,8,8")["removable"]["filter"] == 2
    assert document("cut", "nets:noisy", "--input", "1,1,8,8", "-o", "small.safetensors")["removed"]["filter"] == 2


def test_cut_of_a_strangers_file_gives_accuracy_before_and_after(document, espalier, folder):
    stranger(folder)
    done = document("cut", *FILE, "-o", "small.safetensors")
    assert done["matched"] == {f"net_{name}": name for name in ("conv1", "conv2", "fc1", "fc2")}
    assert done["removed"]["filter"] == 3 and done["certificate"]["verdict"] == "exact"
    assert done["accuracy"]["dense"] == done["accuracy"]["compact"] and done["certificate"]["sizes"] == [[8, 8]]
    code, out, err = espalier("cut", *FILE, "-o", "small.safetensors")
    assert code == 0 and "removal exact, removed 3 filters" in out and "accuracy on the test images of digits" in out
    assert "matched 'net_conv1' -> 'conv1'" in err and "unmodified" not in out


def test_the_normalisation_changes_what_the_network_sees(document, folder):
    stranger(folder)
    own = document("cut", *FILE, "-o", "a.safetensors")["accuracy"]["dense"]
    none = document("cut", *FILE, "--normalize", "none", "-o", "b.safetensors")["accuracy"]["dense"]
    from core.cut import accuracy
    from core.data import load as data

    assert own == accuracy(lenet(), data("digits"), "test")
    assert none == accuracy(lenet(), data("digits", normalize="none"), "test") != own


def masked_plan(folder: Path) -> Path:
    """A chosen cut of living filters, as a file."""
    plan = plan_zeros(lenet(), torch.zeros(1, 1, 8, 8), masked={"conv2/filter": list(range(0, 50, 2))})
    (folder / "plan.json").write_text(plan.to_json())
    return folder / "plan.json"


def test_a_chosen_cut_is_exact_against_the_masked_network_and_says_so(document, espalier, folder):
    stranger(folder)
    plan = masked_plan(folder)
    done = document("cut", *FILE, "--plan", plan, "-o", "small.safetensors")
    assert done["removed"]["filter"] == 3 + 25
    assert done["certificate"]["verdict"] == "exact" and done["certificate"]["reference"] == "masked"
    dense, compact = done["accuracy"]["dense"], done["accuracy"]["compact"]
    assert done["note"].startswith("'exact' is said against the network with the chosen units masked")
    assert done["note"].endswith(f"accuracy goes from {dense:.2%} to {compact:.2%}")
    _, out, _ = espalier("cut", *FILE[:3], "--input", "1,1,8,8", "--plan", plan, "-o", "small.safetensors")
    assert "the removal is right, not free" in " ".join(out.split()) and "name a --dataset" in " ".join(out.split())


def test_a_saved_plan_makes_the_same_network_again(document, folder):
    stranger(folder)
    first = document("cut", *FILE, "--save-plan", "plans.json", "-o", "a.safetensors")
    again = document("cut", *FILE, "--plan", "plans.json", "-o", "b.safetensors")
    assert first["macs"] == again["macs"] and first["removed"] == again["removed"]
    a, b = (load(folder / f"{name}.safetensors").state_dict() for name in "ab")
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("target", ["macs=0.5", "params=0.3"])
def test_a_target_is_met(document, folder, target):
    stranger(folder)
    done = document("cut", *FILE, "--target", target, "-o", "small.safetensors")
    key, _, fraction = target.partition("=")
    assert done[key]["compact"] <= float(fraction) * done[key]["dense"]
    assert done["certificate"]["reference"] == "masked" and "note" in done


def test_a_target_in_milliseconds_is_measured(document, folder):
    stranger(folder)
    done = document("cut", *FILE, "--target", "ms=1000", "-o", "small.safetensors")
    told = done["milliseconds"]
    assert done["macs"]["compact"] > 0 and told["limit"] == 1000 and 0 < told["compact"] <= 1000 and told["dense"] > 0
    assert "milliseconds" not in document("cut", *FILE, "--target", "macs=0.5", "-o", "small.safetensors")


def test_a_threshold_of_zero_cuts_only_what_is_zero(document, folder):
    stranger(folder)
    assert document("cut", *FILE, "--threshold", "0", "-o", "small.safetensors")["removed"]["filter"] == 3


def test_a_run_is_cut_on_its_own_data(document, run_state):
    name = run_state("finished")
    shutil.copytree(DEMO / "checkpoints", Path(os.environ["ESPALIER_RUNS"]) / name / "checkpoints")
    done = document("cut", name[:-2], "-o", "small.safetensors")
    told = json.loads((DEMO / "run.json").read_text())["result"]
    assert done["source"] == f"run {name} after epoch 120" and done["dataset"] == "digits"
    assert done["macs"] == told["macs"] and done["params"] == told["params"]
    assert done["removed"]["filter"] == told["removed"]["filter"]
    assert done["accuracy"] == {"dense": told["accuracy"]["test"], "compact": told["accuracy"]["compact"]}
    assert done["certificate"]["verdict"] == "exact"


def test_a_compact_file_is_a_source_again(document):
    done = document("cut", "nets:small", "--input", "1,1,8,8", "-o", "small.safetensors")
    again = document("cut", "small.safetensors", "-o", "smaller.safetensors")
    assert again["input"] == [1, 1, 8, 8] and again["source"] == "compact network small.safetensors"
    assert again["params"]["dense"] == done["params"]["compact"]
    own = document("cut", DEMO / "compact.safetensors", "-o", "own.safetensors")
    assert own["input"] == [1, 1, 8, 8]  # the file says that it learned from digits


def test_weights_may_come_as_safetensors_and_in_half_precision(document, folder):
    save_file({key: tensor.half() for key, tensor in lenet().state_dict().items()}, folder / "lenet.safetensors")
    done = document("cut", "lenet.safetensors", *FILE[1:], "-o", "small.safetensors")
    assert done["removed"]["filter"] == 3 and "matched" not in done
    assert document("cut", "nets:half", "--input", "1,1,8,8", "-o", "h.safetensors")["removed"]["filter"] == 2


def test_nothing_to_remove_is_loud(espalier, folder):
    torch.save(build("lenet", num_classes=10, in_channels=1, image_size=28).state_dict(), folder / "lenet.pt")
    code, out, _ = espalier("cut", "lenet.pt", "--network", "lenet", "-o", "small.safetensors")
    assert code == 0 and out.startswith("NOTHING WAS REMOVED: no unit is exactly zero")


def test_a_network_that_says_the_same_to_everything_proves_nothing(document):
    done = document("cut", "nets:constant", "--input", "1,1,8,8", "-o", "small.safetensors")
    assert done["certificate"]["verdict"] == "inconclusive"


def test_a_fresh_process_prints_one_document_and_finds_factories_in_its_folder(folder):
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from core.cli import main; main()"
    arguments = ["cut", "nets:small", "--input", "1,1,8,8", "-o", "small.safetensors", "--json"]
    command = [sys.executable, "-P", "-c", code, str(ROOT), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["removed"]["filter"] == 2 and "made" in done.stderr


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["nobody"], "SOURCE must be a run, a file of weights, a compact file or module:function; got 'nobody', which is neither"),
    (["."], "got '.', which is a folder"),
    (["none.pt", "--network", "lenet"], "got 'none.pt', which is neither a file here nor a run"),
    (["1:2"], "got '1:2', neither a file nor two names with a colon between"),
    (["absent:make", "--input", "1,3"], "module absent of absent:make must be in the current folder or on Python's path"),
    (["nets.deep:make", "--input", "1,3"], "module nets.deep of nets.deep:make must"),
    (["broken:make", "--input", "1,3"], "module broken of broken:make must import; got ModuleNotFoundError: No module named 'nothing_of"),
    (["odd:f", "--input", "1,3"], "module odd of odd:f must import; got SyntaxError"),
    (["nets:smal", "--input", "1,1,8,8"], "got 'smal'; did you mean 'small'?"),
    (["nets:number", "--input", "1,1,8,8"], "nets:number must be a function; got int"),
    (["nets:text", "--input", "1,1,8,8"], "nets:text must return a torch.nn.Module; got str"),
    (["nets:breaks", "--input", "1,1,8,8"], "nets:breaks must return a network; got RuntimeError: no weights at hand; run it"),
    (["nets:leaves", "--input", "1,1,8,8"], "nets:leaves must return a network; got SystemExit"),
    (["nets:needs", "--input", "1,1,8,8"], "nets:needs must return a network; got TypeError"),
    (["nets:small", "--input", "1,3,8,8"], "the network of nets:small must take an input of (1, 3, 8, 8); got RuntimeError"),
    (["nets:small"], "--input must give the shape of what nets:small takes; got none"),
    (["nets:small", "--input", "1,a"], "--input must be two or more whole numbers of at least 1, the batch first; got '1,a'"),
    (["nets:small", "--input", "8"], "the batch first; got '8'"),
    (["nets:small", "--input", "1,1,0,8"], "the batch first; got '1,1,0,8'"),
    (["nets:small", "--network", "lenet"], "--network must be left out: nets:small makes its own network; got 'lenet'"),
    (["nets:small", "--dataset", "digit"], "did you mean 'digits'"),
    (["nets:small", "--dataset", "mnist"], "data set mnist must have a folder"),
    (["nets:small", "--normalize", "imagenet"], "--normalize must come with a data set to normalise; got 'imagenet' alone"),
    (["nets:small", "--dataset", "digits", "--normalize", "imagenet"], "normalize must have as many channels as data set digits, 1; got 'imagenet' with 3"),
    (["nets:small", "--dataset", "digits", "--normalize", "imagnet"], "did you mean 'imagenet'"),
    (["nets:small", "--dataset", "digits", "--input", "1,1,9,9"], "--dataset must hold inputs of factory nets:small, (1, 9, 9); got digits with (1, 8, 8)"),
    (["lenet.pt"], "--network must name the network that lenet.pt holds the weights of; got none; there are resnet20"),
    (["lenet.pt", "--network", "lenett"], "did you mean 'lenet'"),
    (["lenet.pt", "--network", "resnet20"], "lenet.pt as resnet20 must have conv"),
    (["lenet.pt", "--network", "lenet"], "lenet.pt as lenet must have fc1 (linear layer: weight (500, 800), bias (500,)); got too few of that shape"),
    (["lenet.pt", "--network", "lenet", "--dataset", "shapes"], "the input of lenet must be (N, 1, H, W) for the weights in lenet.pt; got (1, 3, 32, 32)"),
    (["bad.pt", "--network", "lenet"], "bad.pt must be a whole file of weights; got one that is damaged"),
    (["compact.safetensors", "--network", "lenet"], "compact.safetensors is a compact network and brings its own graph; got 'lenet'"),
])  # fmt: skip
def test_a_source_that_will_not_do_exits_2_with_one_sentence(espalier, folder, monkeypatch, arguments, sentence):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    stranger(folder)
    (folder / "bad.pt").write_bytes(b"PK\x03\x04 no archive")
    shutil.copyfile(DEMO / "compact.safetensors", folder / "compact.safetensors")
    for command in (["inspect"], ["cut", "-o", "out.safetensors", "--json"]):
        code, out, err = espalier(*command, *arguments)
        assert code == 2 and out == "" and sentence in err and "Traceback" not in err
        assert len([line for line in err.strip().splitlines() if line != "made"]) == 1


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["--target", "flops=0.5"], "--target must be one of macs=NUMBER, ms=NUMBER, params=NUMBER; got 'flops=0.5'"),
    (["--target", "macs=1.5"], "--target macs must be a number between 0 and 1, the fraction of the MACs that may remain; got '1.5'"),
    (["--target", "params=nan"], "--target params must be a number between 0 and 1"),
    (["--target", "ms=-1"], "--target ms must be a number above 0, the milliseconds that one pass may take; got '-1'"),
    (["--target", "ms"], "--target ms must be a number above 0"),
    (["--threshold", "nan"], "--threshold must be a number of at least 0; got nan"),
    (["--threshold", "-1"], "--threshold must be a number of at least 0; got -1"),
    (["--importance", "l2"], "--importance must come with --target or --threshold; got 'l2' alone"),
    (["--target", "macs=0.5", "--plan", "plan.json"], "cut must have one aim; got --plan and --target; leave out all but one"),
    (["--target", "macs=0.5", "--importance", "l3"], "importance must be one of l1, l2, scale, effect; got 'l3'"),
    (["--plan", "none.json"], "--plan must be a file that --save-plan wrote; got no such file at none.json"),
    (["--plan", "nets.py"], "a removal plan of version 1 does not fit"),
    (["--plan", "plan.json"], "the plan must be made for this network"),
])  # fmt: skip
def test_an_aim_that_will_not_do_exits_2_with_one_sentence(espalier, folder, arguments, sentence):
    masked_plan(folder)
    code, out, err = espalier("cut", "nets:small", "--input", "1,1,8,8", "-o", "out.safetensors", *arguments)
    assert code == 2 and out == "" and sentence in err and not (folder / "out.safetensors").exists()


def test_the_place_to_write_is_looked_at_first(espalier, folder):
    stranger(folder)
    code, _, err = espalier("cut", *FILE, "-o", "lenet.pt")
    assert code == 2 and "--output must not be the file that is read; got lenet.pt, which is SOURCE" in err
    code, _, err = espalier("cut", *FILE, "-o", folder)
    assert code == 2 and "--output must be a file; got the folder" in err


def test_answers_that_are_no_class_scores_have_no_accuracy(espalier, folder):
    torch.save(lenet(num_classes=9).state_dict(), folder / "nine.pt")
    code, out, err = espalier("cut", "nine.pt", *FILE[1:], "-o", "out.safetensors")
    assert code == 2 and out == "" and not (folder / "out.safetensors").exists()
    assert "--dataset must have as many classes as lenet from nine.pt tells apart; got digits with 10" in err


def test_a_name_that_is_a_run_and_a_file_is_refused(espalier, run_state, folder, monkeypatch):
    name = run_state("finished")
    (folder / "here").mkdir()
    monkeypatch.chdir(folder / "here")
    Path(name).write_text("a file")
    code, _, err = espalier("inspect", name)
    assert code == 2 and f"which is a file here and a run ({name}); write ./{name} for the file" in err
    code, _, err = espalier("inspect", f"./{name}", "--network", "lenet")
    assert code == 2 and "must be a whole file of weights" in err
    other = run_state("queued")
    code, _, err = espalier("inspect", "digits-sss")
    assert code == 2 and "SOURCE must begin the name of one run only; got 'digits-sss', which begins" in err
    code, _, err = espalier("inspect", other)
    assert code == 2 and "must have a checkpoint; it has none yet" in err


@pytest.mark.skipif(not STRANGER.exists(), reason=f"a stranger's trained network is not at {STRANGER}")
@pytest.mark.slow
def test_a_strangers_checkpoint_is_cut_on_real_images(document):
    if GIVEN is None or missing("cifar10", Path(GIVEN)):
        pytest.skip(f"the official files of cifar10 are not under {DATA_VARIABLE}")
    done = document("cut", STRANGER, "--network", "resnet20", "--dataset", "cifar10", "--normalize", "imagenet", "-o", "small.safetensors")  # fmt: skip
    assert done["certificate"]["verdict"] == "nothing-removed" and done["params"]["dense"] == 269_722
    assert done["accuracy"]["dense"] == done["accuracy"]["compact"]


def test_a_plan_replaces_neither_what_is_read_nor_what_is_written(espalier, folder):
    before = stranger(folder).read_bytes()
    for plan, what in (("lenet.pt", "SOURCE"), ("small.safetensors", "--output")):
        code, _, err = espalier("cut", *FILE, "--target", "macs=0.5", "-o", "small.safetensors", "--save-plan", plan)
        said = " ".join(err.split())
        assert code == 2 and f"--save-plan must be a file of its own; got {plan}, which is {what}" in said
    assert (folder / "lenet.pt").read_bytes() == before and not (folder / "small.safetensors").exists()
