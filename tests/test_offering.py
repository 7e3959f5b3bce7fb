"""Files offered to be saved: small ones as bytes, whose address stays; large ones made when asked for."""

from types import SimpleNamespace

import pytest

from app import offering
from app.app_pages.take_forms import FORMS


@pytest.fixture()
def offered(monkeypatch):
    seen = []
    button = lambda label, data, **how: seen.append((label, data, how))  # noqa: E731
    monkeypatch.setattr(offering, "st", SimpleNamespace(download_button=button))
    return seen


def test_a_small_file_is_offered_as_its_bytes_and_a_large_one_when_asked_for(offered, tmp_path, monkeypatch):
    file = tmp_path / "compact.safetensors"
    file.write_bytes(b"12345")
    offering.offer("Compact network", file, key="get")
    assert offered[-1] == ("Compact network", b"12345", {"width": "stretch", "key": "get"})
    monkeypatch.setattr(offering, "AT_ONCE", 4)
    offering.offer("Compact network", file, read=lambda of: of.read_bytes() + b"6", key="get")
    assert offered[-1][1]() == b"123456"


def test_a_form_of_several_files_is_packed_to_the_same_bytes_each_time(tmp_path):
    script = next(form for form in FORMS if form.suffix == ".py")
    for suffix, text in ((".py", "network = 1\n"), (".safetensors", "weights")):
        (tmp_path / f"compact{suffix}").write_text(text)
    assert script.read(tmp_path / "compact.py") == script.read(tmp_path / "compact.py")
