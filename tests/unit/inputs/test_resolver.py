"""Local inputs: what a spec finds, and what it says when it finds nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.inputs.resolver import Resolver


@pytest.fixture
def resolver(tmp_path: Path) -> Resolver:
    return Resolver(root=tmp_path, cache=tmp_path / "cache", checksums={}, pinned={})


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(resolver: Resolver, spec: str, **options) -> list[str]:
    return [path.relative_to(resolver.root).as_posix() for path in resolver.files(spec, **options)]


def test_the_plan_can_find_inputs_without_torch_transformers_datasets_or_the_hub() -> None:
    code = "import sys, pipeline.inputs, pipeline.artifacts.digests; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "datasets", "huggingface_hub", "numpy"} & set(loaded)


def test_relative_paths_start_at_the_root_and_absolute_ones_do_not(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "data/a.csv")
    assert found(resolver, "data/a.csv") == found(resolver, str(tmp_path / "data/a.csv")) == ["data/a.csv"]


def test_a_tilde_is_the_home_folder(resolver: Resolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "home/a.csv")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert found(resolver, "~/a.csv") == ["home/a.csv"]


def test_a_folder_gives_its_data_files_sorted(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "d/b.parquet", "d/a.jsonl.gz", "d/README.md", "d/.hidden.csv", "d/dump.xml-p1p2.bz2", "d/c.csv.zip")
    assert found(resolver, "d") == ["d/a.jsonl.gz", "d/b.parquet", "d/c.csv.zip", "d/dump.xml-p1p2.bz2"]


def test_a_glob_gives_its_files_sorted(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "d/2.csv", "d/1.csv", "d/1.txt", "d/e/3.csv")
    assert found(resolver, "d/*.csv") == ["d/1.csv", "d/2.csv"]
    assert found(resolver, "d/**/*.csv") == ["d/1.csv", "d/2.csv", "d/e/3.csv"]


def test_a_name_with_glob_characters_is_first_of_all_a_name(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "a[1].csv", "a1.csv")
    assert found(resolver, "a[1].csv") == ["a[1].csv"]


def test_a_split_takes_its_files_of_a_folder(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "d/train-0.csv", "d/validation-0.csv", "d/test-0.csv", "d/latest-train-1.csv")
    assert found(resolver, "d", split="train") == ["d/latest-train-1.csv", "d/train-0.csv"]
    assert found(resolver, "d", split="dev") == ["d/validation-0.csv"]
    assert found(resolver, "d", split="test") == ["d/test-0.csv"]


def test_a_split_takes_all_of_a_folder_whose_names_tell_nothing(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "d/1.csv", "d/2.csv")
    assert found(resolver, "d", split="dev") == ["d/1.csv", "d/2.csv"]


@pytest.mark.parametrize("beside", ["README.txt", "License.txt", "notes.txt"])
def test_what_is_written_about_the_data_is_no_data(resolver: Resolver, tmp_path: Path, beside: str) -> None:
    touch(tmp_path, "d/train.json", "d/dev.json", f"d/{beside}")
    assert found(resolver, "d", split="train") == ["d/train.json"]
    assert found(resolver, "d", split="dev") == ["d/dev.json"]


def test_plain_texts_beside_labelled_json_are_unlabelled(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "d/train.json", "d/test.json", "d/1.txt", "d/2.txt")
    assert found(resolver, "d", split="unlabelled") == ["d/1.txt", "d/2.txt"]
    assert found(resolver, "d", split="train") == ["d/train.json"]
    with pytest.raises(UserError, match="has no file whose name says 'dev'"):
        resolver.files("d", split="dev")
    touch(tmp_path, "d/unlabelled.json")
    assert found(resolver, "d", split="unlabelled") == ["d/unlabelled.json"]


def test_tables_about_licences_are_data(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "d/license.csv", "d/license-plates.csv", "d/LICENSE", "d/LICENSE.txt", "d/README.rst")
    assert found(resolver, "d") == ["d/license-plates.csv", "d/license.csv"]
    assert found(resolver, "d/LICENSE.*") == ["d/LICENSE.txt"]


def test_of_text_files_with_the_splits_names_a_json_file_beside_them_is_no_data(
    resolver: Resolver, tmp_path: Path
) -> None:
    touch(tmp_path, "d/train.txt", "d/dev.txt", "d/train_labels.json")
    assert found(resolver, "d", split="train") == ["d/train.txt"]


def test_endings_may_be_written_in_capitals(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "d/TRAIN.CSV", "d/DEV.CSV")
    assert found(resolver, "d", split="train") == ["d/TRAIN.CSV"]


@pytest.mark.parametrize("other", ["train.jsonl", "train.csv.gz"])
def test_a_split_in_two_formats_is_one_sentence(resolver: Resolver, tmp_path: Path, other: str) -> None:
    touch(tmp_path, "d/train.csv", f"d/{other}")
    with pytest.raises(
        UserError, match=r"^d has train.csv and train.*, of which one is enough: name the file to read$"
    ):
        resolver.files("d", split="train")


def test_a_model_is_a_folder_with_a_configuration_and_safetensors(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "one/config.json", "one/model.safetensors")
    touch(tmp_path, "two/config.json", "two/model.safetensors.index.json", "two/model-00001-of-00001.safetensors")
    assert resolver.model("one") == tmp_path / "one"
    assert resolver.model("two") == tmp_path / "two"


def test_an_architecture_alone_is_enough_where_no_weights_are_wanted(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "bert/config.json")
    assert resolver.model("bert", weights=False) == tmp_path / "bert"


def test_pickled_weights_are_refused(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "bert/config.json", "bert/pytorch_model.bin")
    with pytest.raises(UserError, match=r"only pytorch_model\.bin, a pickle"):
        resolver.model("bert")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("data/revews.csv", "there is no 'revews.csv' in .*; did you mean 'reviews.csv'"),
        ("dta/reviews.csv", "there is no 'dta' in .*; did you mean 'data'"),
        ("data/reviews.csv/x", "reviews.csv is a file, not a folder"),
        ("data/link.csv", "is a broken link to nowhere.csv"),
        ("data/*.tsv", "matches no file"),
        ("empty", "has no data file"),
        ("~nobody-here/a.csv", "home folder of an unknown user"),
        ("hup:owner/name", "did you mean 'hub'"),
        ("hub:", "names no repository"),
        ("wheel:six#six.py", r"names no version: write wheel:NAME==VERSION#PATH/IN/WHEEL"),
        ("wheel:six==1.17.0", "names no file in the wheel"),
        ("wheel:six==1.17.0#../six.py", "names no file in the wheel"),
    ],
)
def test_a_wrong_spec_says_what_would_be_right(resolver: Resolver, tmp_path: Path, spec: str, message: str) -> None:
    touch(tmp_path, "data/reviews.csv", "empty/README.md")
    (tmp_path / "data/link.csv").symlink_to("nowhere.csv")
    with pytest.raises(UserError, match=message) as raised:
        resolver.files(spec)
    assert "\n" not in str(raised.value)


def test_a_folder_that_is_no_model_is_refused(resolver: Resolver, tmp_path: Path) -> None:
    touch(tmp_path, "data/a.csv")
    with pytest.raises(UserError, match=r"not a folder with a config\.json"):
        resolver.model("data")


@pytest.mark.parametrize(
    ("spec", "names", "loaded"),
    [
        ("data", ["data/dataset_dict.json", "data/train/data-00000-of-00001.arrow"], "('data')['train']."),
        ("data", ["data/state.json", "data/data-00000-of-00001.arrow"], "('data').to_parquet"),
        ("data/data.arrow", ["data/state.json", "data/data.arrow"], "('data').to_parquet"),
        ("data/*.arrow", ["data/state.json", "data/data.arrow"], "('data').to_parquet"),
    ],
)
def test_what_save_to_disk_wrote_is_one_sentence(
    resolver: Resolver, tmp_path: Path, spec: str, names: list[str], loaded: str
) -> None:
    touch(tmp_path, *names)
    with pytest.raises(UserError) as error:
        resolver.files(spec)
    assert str(error.value).startswith(f"{spec} was written by save_to_disk, in a format of this machine's cache")
    assert f"datasets.load_from_disk{loaded}" in str(error.value)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_is_no_model(resolver: Resolver, tmp_path: Path, name: str) -> None:
    touch(tmp_path, "lora/config.json", "lora/model.safetensors", f"lora/{name}")
    with pytest.raises(UserError, match=r"lora is an adapter \(LoRA\), not a model: merge it into its model"):
        resolver.model("lora")
