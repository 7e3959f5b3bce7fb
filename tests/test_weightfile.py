"""Files of weights: what is read, what is refused and in which words, and that nothing in them is ever run."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from core import checkpoint
from core.errors import BadInput, DamagedFile
from core.weightfile import our_own, read_weights

DEMO = Path(__file__).resolve().parents[1] / "assets" / "demo"


def some() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"conv.weight": (4, 3, 5, 5), "conv.bias": (4,), "fc.weight": (2, 7), "fc.bias": (2,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def written(folder: Path, what: object, name: str = "weights.pt", **options) -> Path:
    torch.save(what, folder / name, **options)
    return folder / name


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_file_is_read_in_its_own_order(tmp_path, zipped):
    found = read_weights(written(tmp_path, OrderedDict(some()), _use_new_zipfile_serialization=zipped))
    assert same(found, some()) and list(found) == list(some())


def test_a_safetensors_file_is_read_sorted_whatever_it_is_called(tmp_path):
    for name in ("weights.safetensors", "weights.pt"):
        save_file(some(), tmp_path / name)
        found = read_weights(tmp_path / name)
        assert same(found, some()) and list(found) == sorted(some())


@pytest.mark.parametrize("wrap", [
    lambda t: {"state_dict": t, "epoch": 3, "best_prec1": 91.78, "optimizer": {"state": {0: t["fc.bias"]}}},
    lambda t: {"model_state_dict": t},
    lambda t: {"weights": t, "lr": [0.1, 0.01]},
    lambda t: {"ema": {"model": t}, "model": None},
    lambda t: {"net": {"state_dict": t}},
])  # fmt: skip
def test_wrappers_are_taken_off(tmp_path, wrap):
    assert same(read_weights(written(tmp_path, wrap(some()))), some())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "backbone.", "net.", "network.", "module._orig_mod.model."])  # fmt: skip
def test_a_prefix_that_all_names_share_is_taken_off(tmp_path, prefix):
    named = {prefix + name: tensor for name, tensor in some().items()}
    assert same(read_weights(written(tmp_path, named)), some())


def test_a_prefix_of_some_names_only_stays(tmp_path):
    named = {("module." + name if "conv" in name else name): tensor for name, tensor in some().items()}
    assert set(read_weights(written(tmp_path, named))) == {
        "module.conv.weight",
        "module.conv.bias",
        "fc.weight",
        "fc.bias",
    }


def test_two_sets_of_weights_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"weights.pt must hold one set of weights; got 'model' and 'ema', which may"):
        read_weights(written(tmp_path, {"ema": some(), "model": some()}))


class Trap:
    """Unpickling it would make a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle 2", "pickle 5"])
def test_a_file_that_would_run_code_is_refused_and_nothing_of_it_is_run(tmp_path, form):
    sprung, file = tmp_path / "sprung", tmp_path / "weights.pt"
    content = {"state_dict": some(), "trap": Trap(sprung)}
    if form.startswith("pickle"):
        file.write_bytes(pickle.dumps(content, protocol=int(form[-1])))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(BadInput) as refused:
        read_weights(file)
    assert not sprung.exists()
    sentence = "which needs code to be run, so it was not read; save the network's state_dict alone"
    assert sentence in str(refused.value) or (form == "pickle 5" and "of another kind" in str(refused.value))
    if form.startswith("pickle"):
        pickle.loads(file.read_bytes())
        assert sprung.exists()  # so the trap is one


def test_a_whole_pickled_network_is_refused_by_its_class(tmp_path):
    with pytest.raises(
        BadInput, match=r"must hold tensors only; got an object of torch.nn.modules.linear.Linear, which"
    ):
        read_weights(written(tmp_path, torch.nn.Linear(3, 2)))


def test_the_name_of_what_was_refused_cannot_write_to_the_terminal(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"\x80\x02cos\n\x1b[31mevil\n.")
    with pytest.raises(BadInput, match=r"got an object of os\.\?\?31mevil, which"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("kept", [1, 8, 9, 100, 0.5, 0.99])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_file_cut_short_is_damaged(tmp_path, form, kept):
    whole = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pt")
    save_file(some(), whole) if form == "safetensors" else written(
        tmp_path, some(), _use_new_zipfile_serialization=form == "zip"
    )
    data = whole.read_bytes()
    whole.write_bytes(data[: int(len(data) * kept) if kept < 1 else kept])
    with pytest.raises(
        DamagedFile, match=r"must be a whole (safetensors )?file.*; got one that is damaged or .*; "
    ) as said:
        read_weights(whole)
    assert "\n" not in str(said.value) and ("whole safetensors file" in str(said.value)) == (form == "safetensors")


def test_a_flipped_bit_inside_a_torch_file_is_noticed(tmp_path):
    file = written(tmp_path, some())
    data = bytearray(file.read_bytes())
    at = data.find(some()["conv.weight"].numpy().tobytes())
    data[at + 2] ^= 0x10
    file.write_bytes(data)
    assert not torch.equal(torch.load(file)["conv.weight"], some()["conv.weight"])  # torch does not notice
    with pytest.raises(DamagedFile, match=r"got one whose checksum fails in weights/data/\d; copy or save it again"):
        read_weights(file)


def test_a_torch_file_that_was_packed_anew_is_refused(tmp_path):
    plain = written(tmp_path, {"w": torch.zeros(1000)})
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    with pytest.raises(BadInput, match="got one that was packed anew"):
        read_weights(tmp_path / "packed.pt")


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    assert read_weights(written(tmp_path, {"w": torch.zeros(1).expand(500)}))["w"].shape == (500,)
    with pytest.raises(BadInput, match=r"got 4 bytes at 'w' that claim to be 2,000,000,000,000"):
        read_weights(written(tmp_path, {"w": torch.zeros(1).expand(10**9, 500)}))


def test_a_safetensors_header_nested_too_deep_is_a_strangers_damaged_file(tmp_path):
    header = b"{" + b'"a":' + b"[" * 100_000
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert our_own(tmp_path / "w.safetensors") is None
    with pytest.raises(DamagedFile, match="must be a whole safetensors file"):
        read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("document", ["[]", "3", '"x"', "null", '{"version": "9"}', "[" * 100_000, "no JSON"])
def test_a_checkpoint_with_an_unsound_document_is_damaged(tmp_path, document):
    save_file(some(), tmp_path / "00001.safetensors", metadata={"espalier": document})
    with pytest.raises(DamagedFile, match="must be a whole checkpoint of Espalier"):
        checkpoint.load(tmp_path / "00001.safetensors")


def test_missing_empty_foreign_and_folder_are_told_apart(tmp_path):
    (tmp_path / "empty.pt").touch()
    (tmp_path / "notes.txt").write_text("these are no weights at all")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("a.txt", "nor are these")
    for name, got in (
        ("none.pt", "no such file; check the path"), ("empty.pt", "an empty file; copy it again"), ("", "Is a directory"),
        ("notes.txt", "damaged or of another kind"), ("other.zip", "damaged or of another kind"),
    ):  # fmt: skip
        with pytest.raises(DamagedFile, match=f"must be a .*; got .*{got}"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize(("content", "got"), [
    ({**some(), "epoch": 3}, "must hold tensors only; got a value of type int at 'epoch'; save"),
    ({"resnet": some()}, "must hold tensors only; got a dict of 'conv.weight', 'conv.bias', 'fc.weight' at 'resnet'"),
    ([torch.ones(2)], "must hold tensors by name; got a value of type list"),
    (torch.ones(2), "must hold tensors by name; got a value of type Tensor"),
    ({}, "must hold at least one tensor; got none"),
    ({"state_dict": {}}, "must hold at least one tensor; got none"),
    ({0: torch.ones(2)}, "must name its tensors by plain text; got 0"),
    ({"a\nb": torch.ones(2)}, r"must name its tensors by plain text; got 'a\nb'"),
    ({"a": torch.eye(2).to_sparse()}, "must hold plain dense tensors; got a tensor of layout torch.sparse_coo at 'a'"),
    ({"a": torch.ones(2, device="meta")}, "must hold plain dense tensors; got a tensor without values at 'a'"),
])  # fmt: skip
def test_what_is_no_set_of_named_tensors_is_refused(tmp_path, content, got):
    with pytest.raises(BadInput) as said:
        read_weights(written(tmp_path, content))
    assert got in str(said.value) and str(said.value).startswith(str(tmp_path / "weights.pt"))


def test_our_own_files_are_known_and_told_how_to_load(tmp_path):
    checkpoint.save(tmp_path / "00003.safetensors", {"weights/a": torch.ones(2)}, {"step": 3})
    save_file(some(), tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    files = (DEMO / "compact.safetensors", tmp_path / "00003.safetensors", tmp_path / "theirs.safetensors")
    assert [our_own(file) for file in files] == ["compact", "checkpoint", None]
    with pytest.raises(BadInput, match=r"got a compact network of Espalier, .*; core.structure.load\(FILE\) loads it"):
        read_weights(files[0])
    with pytest.raises(BadInput, match=r"got a checkpoint of a run, .*; name the run itself"):
        read_weights(files[1])


def test_reading_goes_through_the_restricted_reader_even_where_the_environment_asks_for_the_other(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    file = written(tmp_path, {"trap": Trap(tmp_path / "sprung")})
    with pytest.raises(BadInput, match="needs code to be run"):
        read_weights(file)
    assert not (tmp_path / "sprung").exists()
