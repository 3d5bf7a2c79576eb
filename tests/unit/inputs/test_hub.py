"""Hub inputs, against a small hub on 127.0.0.1."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.inputs.hub import download
from pipeline.inputs.resolver import Resolver
from tests.helpers.fake_hub import commit_of, serve, serve_always, talking_to

NOBODY = "http://127.0.0.1:9"  # no hub answers there


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return fill(tmp_path / "model", "config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin", "code.py")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return fill(
        tmp_path / "rows", "README.md", "sst2/train-0.parquet", "sst2/validation-0.parquet", "rte/train-0.parquet"
    )


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    return folder


def look_up(
    method: str,
    spec: str,
    *,
    address: str,
    home: Path,
    pinned: dict[str, str] | None = None,
    token: str = "",
    **options: Any,
) -> tuple[Any, dict[str, str]]:
    """What a Resolver's method says, and the commits it pinned."""
    pins = dict(pinned or {})
    resolver = Resolver(root=Path(), cache=Path(), checksums={}, pinned=pins)
    with talking_to(address, home=home, token=token):
        try:
            return getattr(resolver, method)(spec, **options), pins
        except UserError as error:
            return f"error: {error}", pins


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_a_model_comes_by_commit_without_pickles_and_code(model: Path, tmp_path: Path) -> None:
    with serve({"owner/tiny": model}) as address:
        folder, pinned = look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home")
    assert pinned == {"hub:owner/tiny@main": commit_of(model)}
    assert Path(folder).name == commit_of(model)
    assert files_in(folder) == ["config.json", "model.safetensors", "vocab.txt"]


def test_a_full_disk_is_not_taken_for_a_hub_that_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_the_disk(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pipeline.inputs.hub.snapshot_download", fill_the_disk)
    with pytest.raises(OSError, match="No space left on device"):
        download("owner/tiny", commit="0" * 40, kind="model", files=["config.json"])


def test_a_pinned_model_in_the_cache_needs_no_network(model: Path, tmp_path: Path) -> None:
    with serve({"owner/tiny": model}) as address:
        online = look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home")
    offline = look_up("model", "hub:owner/tiny", address=NOBODY, home=tmp_path / "home", pinned=online[1])
    assert offline == online


def test_a_pin_outlives_the_branch_it_was_made_from(model: Path, tmp_path: Path) -> None:
    with serve({"owner/tiny": model}) as address:
        online = look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home")
        (model / "vocab.txt").write_text("another vocabulary")
        later = look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home", pinned=online[1])
    assert later == online


def test_what_an_interrupted_download_left_out_is_fetched(model: Path, tmp_path: Path) -> None:
    with serve({"owner/tiny": model}) as address:
        folder, pinned = look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home")
        (Path(folder) / "model.safetensors").unlink()
        look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home", pinned=pinned)
    assert (Path(folder) / "model.safetensors").read_text() == "content of model.safetensors"


def test_a_split_of_a_dataset_is_chosen_by_name(rows: Path, tmp_path: Path) -> None:
    with serve({}, {"owner/rows": rows}) as address:
        train, pinned = look_up("files", "hub:owner/rows#sst2/*train*", address=address, home=tmp_path / "home")
        dev, _ = look_up("files", "hub:owner/rows", address=address, home=tmp_path / "home", split="dev")
    assert pinned == {"hub:datasets/owner/rows@main": commit_of(rows)}
    assert [Path(path).read_text() for path in train] == ["content of sst2/train-0.parquet"]
    assert [Path(path).read_text() for path in dev] == ["content of sst2/validation-0.parquet"]


def test_the_card_of_a_dataset_comes_with_it_and_is_no_data(tmp_path: Path) -> None:
    rows = fill(tmp_path / "rows", "README.md", "data/train-0.parquet")
    with serve({}, {"owner/rows": rows}) as address:
        (train,), _ = look_up("files", "hub:owner/rows", address=address, home=tmp_path / "home")
    assert Path(train).name == "train-0.parquet"
    assert (Path(train).parent.parent / "README.md").read_text() == "content of README.md"


def test_a_file_that_a_pattern_of_the_user_names_is_data_whatever_its_name(tmp_path: Path) -> None:
    texts = fill(tmp_path / "texts", "license.txt", "texts.txt")
    with serve({}, {"owner/texts": texts}) as address:
        chosen, all_texts = (
            look_up("files", spec, address=address, home=tmp_path / "home")[0]
            for spec in ("hub:owner/texts#lic*.txt", "hub:owner/texts")
        )
    assert [Path(path).name for path in chosen] == ["license.txt"]
    assert [Path(path).name for path in all_texts] == ["texts.txt"]


def test_a_folder_holds_the_files_of_its_pattern_alone(rows: Path, tmp_path: Path) -> None:
    with serve({}, {"owner/rows": rows}) as address:
        folder, _ = look_up("folder", "hub:owner/rows", address=address, home=tmp_path / "home", pattern="rte/*")
    assert files_in(folder) == ["rte/train-0.parquet"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hub:owner/tinny", "is not a model on the hub that you may read: check the name"),
        ("hub:owner/tiny@v9", "has no revision 'v9'"),
        ("hub:owner//tiny", "is no name of a hub repository"),
        ("hub:owner/pickled", "has no model.safetensors, only pytorch_model.bin, a pickle"),
    ],
)
def test_a_wrong_model_is_one_sentence(model: Path, tmp_path: Path, spec: str, message: str) -> None:
    pickled = fill(tmp_path / "pickled", "config.json", "pytorch_model.bin")
    with serve({"owner/tiny": model, "owner/pickled": pickled}) as address:
        result, _ = look_up("model", spec, address=address, home=tmp_path / "home")
    assert result.startswith("error: ")
    assert message in result
    assert "\n" not in result


def test_a_pattern_that_matches_nothing_is_named(rows: Path, tmp_path: Path) -> None:
    with serve({}, {"owner/rows": rows}) as address:
        result, _ = look_up("folder", "hub:owner/rows", address=address, home=tmp_path / "home", pattern="qqp/*")
    assert result.startswith("error: hub:owner/rows: no file of the repository matches 'qqp/*'; known are: README.md, ")


def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    result, _ = look_up("model", "hub:owner/tiny", address=NOBODY, home=tmp_path / "home")
    assert result == (
        "error: hub:owner/tiny is not in the hub's cache, and the hub is not reached: check the network or HF_ENDPOINT"
    )


NOT_CACHED = "is not in the hub's cache, and the hub"
BAD_TOKEN = {"X_Error_Message": "Invalid credentials in Authorization header"}
SIGN_IN = b"<html>sign in</html>"


@pytest.mark.parametrize(
    ("answer", "headers", "message"),
    [
        ((401,), BAD_TOKEN, "may not be read with your token (401: Invalid credentials in Authorization header)"),
        ((403,), {}, "may not be read with your token (403: no reason given)"),
        ((429,), {"Retry_After": "1"}, f"{NOT_CACHED} takes no more requests for now (429): wait some minutes"),
        ((503,), {}, f"{NOT_CACHED} has a fault of its own (503): try again later"),
        ((418,), {"X_Error_Message": "a teapot"}, "is refused by the hub (418): a teapot"),
        ((200, SIGN_IN), {}, "is not found: what answers is not the hub, but a page such as a proxy's or a login's"),
    ],
)
def test_an_answer_that_is_no_model_is_one_sentence(
    tmp_path: Path, answer: tuple[Any, ...], headers: dict[str, str], message: str
) -> None:
    with serve_always(*answer, **headers) as address:
        result, _ = look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home", token="hf_old")
    assert result.startswith(f"error: hub:owner/tiny {message}")


@pytest.mark.parametrize(
    ("answer", "headers"), [((429,), {"Retry_After": "1"}), ((401,), BAD_TOKEN), ((503,), {}), ((200, SIGN_IN), {})]
)
def test_a_model_in_the_cache_is_taken_where_the_hub_gives_no_answer(
    model: Path, tmp_path: Path, answer: tuple[Any, ...], headers: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    with serve({"owner/tiny": model}) as address:
        online = look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home")
    with serve_always(*answer, **headers) as address:
        assert look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home", token="hf_old") == online
    shutil.rmtree(next((tmp_path / "home").rglob("trees")))  # what transformers brings has no listing
    with serve_always(*answer, **headers) as address:
        assert look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home", token="hf_old") == online
    said = 2 * f"hub:owner/tiny: the hub does not answer; commit {commit_of(model)} of the local cache is used\n"
    assert capfd.readouterr().err == said or answer == (503,)  # of which the hub's library tells


def test_a_model_that_is_no_longer_there_is_not_taken_from_the_cache(model: Path, tmp_path: Path) -> None:
    with serve({"owner/tiny": model}) as address:
        look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home")
    with serve({}) as address:
        result, _ = look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home")
    assert result.startswith("error: hub:owner/tiny is not a model on the hub that you may read")


def test_a_cache_that_cannot_be_written_is_named(model: Path, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with serve({"owner/tiny": model}) as address:
        result, _ = look_up("model", "hub:owner/tiny", address=address, home=tmp_path / "home")
    assert result.startswith(f"error: hub:owner/tiny: {tmp_path / 'home'}")
    assert result.endswith(": Not a directory")
