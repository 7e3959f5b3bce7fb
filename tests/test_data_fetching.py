"""Fetching data sets from a server of our own: what comes, what is refused, and what is left behind."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import sys
import tarfile
import threading
from dataclasses import replace
from gzip import compress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock
from made_up import files_of_at_most

from core import cli
from core.data import DATA_VARIABLE, fetching, missing
from core.data.fetching import NotFetched, fetch, listed
from core.data.names import DATASETS
from core.data.official import ARCHIVES, Archive
from core.errors import BadInput, WrongMoment

GIVEN = os.environ.get(DATA_VARIABLE)
REAL = [name for name in DATASETS if DATASETS[name].files]
CONTENT = {"toy/one.bin": b"one" * 400_000, "toy/two.bin": os.urandom(900_000)}
TAR = "toy.tar.gz"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def bundle(content: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """A .tar.gz of ``content`` and symbolic links."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


PACKED = bundle({"toy/readme.html": b"<p>", **CONTENT})


@pytest.fixture
def server():
    """Serves ``files``; ``cuts``: bytes after which the next answers break off; ``ranges``: whether it knows them."""
    told = SimpleNamespace(files={}, cuts=[], ranges=True, asked=[], says_length=True)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            told.asked.append((self.path, self.headers.get("Range")))
            data = told.files.get(self.path)
            if data is None:
                return self.send_error(404)
            start = 0
            if told.ranges and (wanted := self.headers.get("Range")):
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(data):
                    return self.send_error(416)
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(200)
            if told.says_length:
                self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            self.wfile.write(data[start:][: told.cuts.pop(0) if told.cuts else None])

        def log_message(self, *_):
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.address = f"http://127.0.0.1:{web.server_port}"
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield told
    web.shutdown()
    thread.join()
    web.server_close()


@pytest.fixture
def toy(server, monkeypatch):
    """The data set cifar10 as a toy of two files in one archive on the server; returns a function that changes it."""

    def served(packed: bytes = PACKED, place: str = TAR, content=CONTENT, told=None, sources=("/toy",)) -> None:
        server.files["/toy"] = packed
        archive = Archive(
            place, len(told or packed), sha(told or packed), tuple(server.address + path for path in sources),
            {path: sha(data) for path, data in content.items()},
        )  # fmt: skip
        files = tuple((path, len(data)) for path, data in content.items())
        monkeypatch.setitem(DATASETS, "cifar10", replace(DATASETS["cifar10"], files=files))
        monkeypatch.setitem(ARCHIVES, "cifar10", (archive,))

    monkeypatch.setattr(fetching, "PAUSE_S", 0.0)
    served()
    return served


def tree(folder: Path) -> set[str]:
    return {str(f.relative_to(folder)) for f in folder.rglob("*") if not f.is_dir() and f.name != ".fetching.lock"}


def is_whole(folder: Path) -> bool:
    return all((folder / path).read_bytes() == data for path, data in CONTENT.items()) and tree(folder) == set(CONTENT)


def test_a_fetched_data_set_is_there_whole_and_nothing_else_is(toy, tmp_path):
    seen = []
    told = fetch("cifar10", tmp_path / "new", lambda *step: seen.append(step))
    assert is_whole(tmp_path / "new") and missing("cifar10", tmp_path / "new") == ()
    assert told["downloaded_bytes"] == len(PACKED) and {f["sha256"] for f in told["files"]} == set(
        map(sha, CONTENT.values())
    )
    assert seen[0] == (TAR, 0, len(PACKED)) and seen[-1] == (TAR, len(PACKED), len(PACKED))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_after_a_cut_it_goes_on_where_it_stopped(toy, server, tmp_path):
    server.cuts = [300_000, 300_000]
    fetch("cifar10", tmp_path)
    assert is_whole(tmp_path)
    assert [wanted for _, wanted in server.asked] == [None, "bytes=300000-", "bytes=600000-"]


def test_what_came_is_kept_for_the_next_command(toy, server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "TRIES", 1)
    server.cuts = [250_000]
    with pytest.raises(
        NotFetched,
        match=r"got 250,000 of .* bytes .* from http.*; run the command again .*250,000 of .* bytes are kept",
    ):
        fetch("cifar10", tmp_path)
    assert tree(tmp_path) == {f"{TAR}.part"} and (tmp_path / f"{TAR}.part").read_bytes() == PACKED[:250_000]
    assert fetch("cifar10", tmp_path)["downloaded_bytes"] == len(PACKED) - 250_000
    assert is_whole(tmp_path) and server.asked[-1] == ("/toy", "bytes=250000-")


def test_a_server_without_ranges_is_asked_for_all_of_it(toy, server, tmp_path):
    server.ranges, server.cuts = False, [300_000]
    fetch("cifar10", tmp_path)
    assert is_whole(tmp_path) and len(server.asked) == 2


@pytest.mark.parametrize("size", [100_000, len(PACKED), len(PACKED) + 5], ids=["shorter", "as long", "longer"])
def test_a_part_of_something_else_is_not_gone_on_with_for_ever(toy, server, tmp_path, size):
    (tmp_path / f"{TAR}.part").write_bytes(b"x" * size)
    fetch("cifar10", tmp_path)
    assert is_whole(tmp_path)


def test_another_digest_leaves_nothing_behind(toy, server, tmp_path):
    toy(packed=PACKED[:-1] + b"!", told=PACKED)
    with pytest.raises(NotFetched, match=f"got a file with another SHA-256 than {sha(PACKED)} from http"):
        fetch("cifar10", tmp_path)
    assert tree(tmp_path) == set() and len(server.asked) == 1


def test_a_page_instead_of_the_file_is_not_even_read(toy, server, tmp_path):
    toy(packed=b"<html>please log in</html>", told=PACKED)
    with pytest.raises(NotFetched, match=r"got 26 bytes where [\d,]+ belong from http"):
        fetch("cifar10", tmp_path)
    assert tree(tmp_path) == set()


def test_a_part_longer_than_what_the_server_has_is_dropped(toy, server, tmp_path):
    toy(packed=PACKED[:1000], told=PACKED)
    (tmp_path / f"{TAR}.part").write_bytes(PACKED[:2000])
    with pytest.raises(NotFetched, match=r"got 1,000 bytes where [\d,]+ belong from http"):
        fetch("cifar10", tmp_path)
    assert tree(tmp_path) == set() and [wanted for _, wanted in server.asked] == ["bytes=2000-", None]


def test_no_more_is_written_than_belongs_there(toy, server, tmp_path):
    toy(packed=PACKED + b"more", told=PACKED)
    server.says_length = False
    fetch("cifar10", tmp_path)
    assert is_whole(tmp_path)


def test_where_one_source_has_nothing_the_next_is_asked(toy, server, tmp_path):
    toy(sources=("/gone", "/toy"))
    fetch("cifar10", tmp_path)
    assert is_whole(tmp_path) and [path for path, _ in server.asked] == ["/gone", "/toy"]


def test_a_file_that_is_gone_is_one_sentence_with_what_to_do(toy, server, tmp_path):
    toy(sources=("/gone",))
    with pytest.raises(NotFetched) as said:
        fetch("cifar10", tmp_path)
    assert str(said.value) == (
        f"{TAR} of data set cifar10 must come from the network; got 404 Not Found from {server.address}/gone; run the "
        f"command again when it can be reached, or put the official file into {tmp_path} yourself and run it then"
    )


def test_a_refused_connection_is_one_sentence(toy, server, tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        server.address = f"http://127.0.0.1:{s.getsockname()[1]}"  # bound, not listening: refused
        toy()
        with pytest.raises(
            NotFetched, match=r"got no answer \(Connection refused\) from http.*; run the command again"
        ):
            fetch("cifar10", tmp_path)


def test_the_official_archive_put_there_by_hand_needs_no_network(toy, server, tmp_path):
    (tmp_path / TAR).write_bytes(PACKED)
    assert fetch("cifar10", tmp_path)["downloaded_bytes"] == 0
    assert server.asked == [] and tree(tmp_path) == {*CONTENT, TAR}
    (tmp_path / "toy/one.bin").unlink()
    (tmp_path / TAR).write_bytes(b"not it")
    with pytest.raises(NotFetched, match=rf"{TAR} must be the official archive, .* bytes with SHA-256 .*; got another"):
        fetch("cifar10", tmp_path)


def test_nothing_in_an_archive_decides_where_a_file_goes(toy, tmp_path):
    outside, inside = tmp_path / "outside", tmp_path / "data"
    outside.mkdir()
    strange = {"../outside/a": b"1", str(outside / "b"): b"2", "toy/../../outside/c": b"3", "toy/one.bin/d": b"4"}
    toy(packed=bundle({**strange, **CONTENT}, links={"toy/two.bin": str(outside / "e"), "toy": str(outside)}))
    fetch("cifar10", inside)
    assert is_whole(inside) and tree(outside) == set() and not (inside / "toy").is_symlink()


def test_a_file_of_an_archive_with_other_bytes_gets_no_name(toy, tmp_path):
    other = {**CONTENT, "toy/two.bin": os.urandom(900_000)}
    toy(packed=bundle(other))
    with pytest.raises(
        NotFetched, match=rf"two.bin must have 900,000 bytes with SHA-256 {sha(CONTENT['toy/two.bin'])}"
    ):
        fetch("cifar10", tmp_path)
    assert tree(tmp_path) == {"toy/one.bin", f"{TAR}.part"}
    toy(packed=bundle({"toy/two.bin": CONTENT["toy/two.bin"] + b"!"}), content={"toy/two.bin": CONTENT["toy/two.bin"]})
    (tmp_path / f"{TAR}.part").unlink()
    with pytest.raises(NotFetched, match=r"two.bin must have 900,000 bytes"):
        fetch("cifar10", tmp_path)
    assert tree(tmp_path) == {"toy/one.bin", f"{TAR}.part"}


def test_an_archive_that_is_none_or_lacks_a_file_says_so(toy, tmp_path):
    toy(packed=b"no archive at all" * 100)
    with pytest.raises(NotFetched, match=r"part must be an archive that can be unpacked; got .*; take it away"):
        fetch("cifar10", tmp_path / "a")
    toy(packed=bundle({"toy/one.bin": CONTENT["toy/one.bin"]}))
    with pytest.raises(NotFetched, match=r"part must hold toy/two.bin; got an archive without it"):
        fetch("cifar10", tmp_path / "b")


def test_a_single_compressed_file_is_unpacked_too(toy, tmp_path):
    toy(
        packed=compress(CONTENT["toy/one.bin"]), place="toy/one.bin.gz", content={"toy/one.bin": CONTENT["toy/one.bin"]}
    )
    fetch("cifar10", tmp_path)
    assert tree(tmp_path) == {"toy/one.bin"} and (tmp_path / "toy/one.bin").read_bytes() == CONTENT["toy/one.bin"]


def test_a_damaged_file_is_replaced_and_sound_ones_ask_nobody(toy, server, tmp_path):
    fetch("cifar10", tmp_path)
    assert fetch("cifar10", tmp_path)["downloaded_bytes"] == 0 and len(server.asked) == 1
    (tmp_path / "toy/two.bin").write_bytes(b"x" * 900_000)  # of the right size
    assert fetch("cifar10", tmp_path)["downloaded_bytes"] == len(PACKED)
    assert is_whole(tmp_path)


def test_too_little_room_is_said_before_anything_comes(toy, server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(NotFetched, match=r"must have [\d,]+ bytes free; got 1,000; make room, or name another folder"):
        fetch("cifar10", tmp_path)
    assert server.asked == []


def test_a_disk_that_fills_up_leaves_the_part_and_no_half_file(toy, tmp_path):
    rule = r"must take all of the data; got File too large in the middle; make room .*: what came is kept"
    with files_of_at_most(500_000), pytest.raises(NotFetched, match=rule):
        fetch("cifar10", tmp_path)
    assert tree(tmp_path) == {f"{TAR}.part"} and (tmp_path / f"{TAR}.part").stat().st_size == 500_000
    with files_of_at_most(1_100_000), pytest.raises(NotFetched, match=rule):  # the archive fits, one.bin does not
        fetch("cifar10", tmp_path)
    assert tree(tmp_path) == {f"{TAR}.part"}
    fetch("cifar10", tmp_path)
    assert is_whole(tmp_path)


def test_two_at_a_time_are_refused(toy, tmp_path):
    with (
        FileLock(tmp_path / ".fetching.lock"),
        pytest.raises(WrongMoment, match=r"one process at a time may fetch into .*; another one does now; wait"),
    ):
        fetch("cifar10", tmp_path)


def test_what_cannot_be_fetched_is_refused_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    for name, folder, rule in [
        ("digits", tmp_path, r"data set digits is built in; there is nothing to fetch"),
        ("cifr10", tmp_path, r"data set must be one of .*; got 'cifr10'; did you mean 'cifar10'"),
        ("folder:photos", tmp_path, r"only the data sets of .* can be fetched; got 'folder:photos', a folder of your"),
        ("mnist", None, r"a folder for data sets must be named .*; got none; set the variable ESPALIER_DATA, .*--data"),
        ("mnist", Path(__file__), r"the place for data sets must be a folder; got .*, which is a file"),
    ]:
        with pytest.raises(BadInput, match=rule):
            fetch(name, folder)


def command(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `python -m core data …`."""
    monkeypatch.setattr(sys, "argv", ["core", "data", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return (end.value.code or 0, *capsys.readouterr())


def test_the_command_lists_and_fetches(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    place = ["--data", str(tmp_path)]
    (tmp_path / "cifar-100-binary").mkdir()
    (tmp_path / "cifar-100-binary/test.bin").write_bytes(b"short")
    code, out, err = command(monkeypatch, capsys, "cifar10", "--json", *place)
    assert code == 0 and json.loads(out)["downloaded_bytes"] == len(PACKED) and TAR in err
    code, out, err = command(monkeypatch, capsys, "--json", *place)
    rows = {row["name"]: row for row in json.loads(out)["datasets"]}
    assert code == 0 and err == "" and list(rows) == list(DATASETS) and json.loads(out)["folder"] == str(tmp_path)
    assert [rows[name]["state"] for name in ("digits", "cifar10", "mnist", "cifar100")] == [
        "built in", "there", "missing", "missing",
    ]  # fmt: skip
    assert rows["cifar10"]["bytes"] == 2_100_000 and rows["cifar10"]["where"] == str(tmp_path / "toy")
    assert rows["cifar10"]["there"] and not rows["mnist"]["there"] and rows["digits"]["where"] is None
    (tmp_path / "toy/one.bin").write_bytes(b"short")
    assert {row["name"]: row["state"] for row in listed(tmp_path)}["cifar10"] == "damaged"
    code, out, _ = command(monkeypatch, capsys)
    assert code == 0 and "folder:PATH" in out and "set ESPALIER_DATA" in " ".join(out.split())


def test_the_command_fails_in_one_sentence_and_prints_no_document(toy, tmp_path, monkeypatch, capsys):
    toy(sources=("/gone",))
    code, out, err = command(monkeypatch, capsys, "cifar10", "--json", "--data", str(tmp_path))
    assert code == 1 and out == "" and err.count("\n") == 1 and "404 Not Found" in err
    assert command(monkeypatch, capsys, "digits", "--data", str(tmp_path))[0] == 2


def test_every_data_set_with_files_can_be_fetched_and_every_file_has_a_digest():
    assert set(ARCHIVES) == set(REAL)
    for name in REAL:
        held = [path for archive in ARCHIVES[name] for path in archive.files]
        assert sorted(held) == sorted(path for path, _ in DATASETS[name].files)
        for archive in ARCHIVES[name]:
            assert all(len(digest) == 64 for digest in (archive.sha256, *archive.files.values()))
            assert all(source.endswith("/" + Path(archive.place).name) for source in archive.sources)


@pytest.mark.parametrize("name", [name for name in REAL if name != "cifar100-coarse"])
def test_the_official_files_have_the_digests_we_know(name):
    if GIVEN is None or missing(name, Path(GIVEN)):
        pytest.skip(f"the official files of {name} are not under {DATA_VARIABLE}")
    assert fetch(name, Path(GIVEN))["downloaded_bytes"] == 0
