from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.weights.loopback import REVISION, Hub
from tests.weights.voxtral_folder import voxtral_files
from voxtral_voice.errors import WeightsError
from voxtral_voice.weights.checkpoint import look
from voxtral_voice.weights.repository import Repository, obtain, repository, verify

NAME = "someone/voxtral"
WEIGHTS = {f"model-0000{i}-of-00002.safetensors" for i in (1, 2)} | {"consolidated.safetensors"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """With a Voxtral Mini in both layouts, and files that nobody needs."""
    for variable in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    files = {**voxtral_files("mini", "mistral"), **voxtral_files("mini", "transformers", shards=2), "README.md": b"x"}
    with Hub(files) as hub:
        hub.large = set(WEIGHTS)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def fetched(hub: Hub) -> set[str]:
    return {path for path, _ in hub.asked}


def test_the_files_of_one_layout_come_and_a_second_start_asks_nobody(hub: Hub, tmp_path: Path) -> None:
    folder = obtain(NAME, "mini", "transformers", tmp_path)
    assert folder == tmp_path / "voxtral" / "someone--voxtral"
    assert look(folder, wanted="mini", layout="transformers").folder == folder
    assert fetched(hub) == set(voxtral_files("mini", "transformers", shards=2))
    assert hub.listings == ["/api/models/someone/voxtral/revision/main?blobs=true"]
    hub.asked.clear()
    assert obtain(NAME, "mini", "transformers", tmp_path, offline=True) == folder
    assert (hub.asked, len(hub.listings)) == ([], 1)


def test_the_other_layout_comes_at_the_same_commit_beside_the_first(hub: Hub, tmp_path: Path) -> None:
    folder = obtain(NAME, "mini", "transformers", tmp_path)
    hub.asked.clear()
    assert obtain(NAME, "mini", "mistral", tmp_path) == folder
    assert "consolidated.safetensors" in fetched(hub)
    assert not any(path.startswith("model-") for path in fetched(hub))
    assert hub.listings[1] == f"/api/models/someone/voxtral/revision/{REVISION}?blobs=true"
    for layout in ("mistral", "transformers"):
        look(folder, wanted="mini", layout=layout)
    assert obtain(NAME, "mini", "transformers", tmp_path, offline=True) == folder


def test_a_download_that_was_cut_goes_on_where_it_broke_off(hub: Hub, tmp_path: Path) -> None:
    hub.files["consolidated.safetensors"] = b"x" * 1_000_000
    hub.files = {name: hub.files[name] for name in ("consolidated.safetensors", "params.json", "tekken.json")}
    place = repository(NAME, tmp_path)
    assert isinstance(place, Repository)
    place.files("mini", "mistral")
    hub.cuts = [500_000, 0]
    with pytest.raises(WeightsError, match="broke off after"):
        obtain(NAME, "mini", "mistral", tmp_path)
    hub.asked.clear()
    folder = obtain(NAME, "mini", "mistral", tmp_path)
    assert (folder / "consolidated.safetensors").stat().st_size == 1_000_000
    begun = [asked for path, asked in hub.asked if path == "consolidated.safetensors"]
    assert begun
    assert begun[0] is not None


def test_a_revision_has_a_folder_of_its_own(hub: Hub, tmp_path: Path) -> None:
    folder = obtain(f"{NAME}@v1.0", "mini", "mistral", tmp_path)
    assert folder.name == "someone--voxtral--v1.0"
    assert hub.listings == ["/api/models/someone/voxtral/revision/v1.0?blobs=true"]


def test_offline_without_the_model_is_one_sentence(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"Offline, and Voxtral Mini \(someone/voxtral\) was never fetched into"):
        obtain(NAME, "mini", "mistral", tmp_path, offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="Offline, and Voxtral Mini"):
        obtain(NAME, "mini", "mistral", tmp_path)
    assert hub.listings == []


def test_offline_with_half_a_model_is_one_sentence(hub: Hub, tmp_path: Path) -> None:
    folder = obtain(NAME, "mini", "mistral", tmp_path)
    (folder / "consolidated.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"Offline, and model files are missing .*consolidated.safetensors"):
        obtain(NAME, "mini", "mistral", tmp_path, offline=True)


def test_a_folder_of_the_users_own_is_taken_as_it_is(tmp_path: Path) -> None:
    assert obtain(str(tmp_path), "mini", "mistral", tmp_path / "weights") == tmp_path
    assert obtain("/no/such", "mini", "mistral", tmp_path) == Path("/no/such")
    assert obtain("~/no-such", "mini", "mistral", tmp_path) == Path.home() / "no-such"
    assert verify(str(tmp_path), tmp_path) == []


@pytest.mark.parametrize("name", ["a" * 5_000, "a/" + "b" * 5_000, "a/" + "b" * 200])
def test_a_name_that_neither_the_hub_nor_a_disk_can_have(tmp_path: Path, name: str) -> None:
    assert repository(name, tmp_path) == Path(name).absolute()


def test_the_home_of_nobody_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"^~no-such-user/m is no folder here: .*\. Write the whole path\.$"):
        repository("~no-such-user/m", tmp_path)


def test_a_repository_without_the_model(hub: Hub, tmp_path: Path) -> None:
    hub.files = voxtral_files("mini", "transformers")
    with pytest.raises(
        WeightsError, match=r"The repository someone/voxtral has no Voxtral Mini in the layout of mistral"
    ):
        obtain(NAME, "mini", "mistral", tmp_path)


def test_verify_reads_every_file_that_was_written_down(hub: Hub, tmp_path: Path) -> None:
    assert verify(NAME, tmp_path) == []
    folder = obtain(NAME, "mini", "mistral", tmp_path)
    assert {finding.state for finding in verify(NAME, tmp_path)} == {"ok"}
    content = (folder / "consolidated.safetensors").read_bytes()
    (folder / "consolidated.safetensors").write_bytes(content[:-1] + b"x")
    states = {finding.file.name.rpartition("/")[2]: finding.state for finding in verify(NAME, tmp_path)}
    assert states == {"consolidated.safetensors": "damaged", "params.json": "ok", "tekken.json": "ok"}


def test_a_record_that_cannot_be_read_is_made_again(hub: Hub, tmp_path: Path) -> None:
    folder = obtain(NAME, "mini", "mistral", tmp_path)
    (folder / "repository.json").write_text("{")
    obtain(NAME, "mini", "mistral", tmp_path)
    assert len(hub.listings) == 2


def test_where_nothing_can_be_written_down(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "voxtral").write_text("a file")
    with pytest.raises(WeightsError, match="cannot be written to"):
        obtain(NAME, "mini", "mistral", tmp_path)
