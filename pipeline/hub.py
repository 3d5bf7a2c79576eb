"""Files of Hugging Face hub repositories, by commit. What is in the hub's cache needs no network.

`huggingface_hub` is imported where it is used: a plan that names no hub repository does not wait for it.
"""

import glob
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from pipeline.errors import UserError

Kind = Literal["model", "dataset"]
Result = TypeVar("Result")


def commit_of(name: str, *, revision: str, kind: Kind) -> str:
    """The commit that a branch, tag or commit stands for now; without a network, what the hub's cache remembers."""
    from huggingface_hub import HfApi  # noqa: PLC0415

    if re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    resolve = partial(HfApi().resolve_revision, name, repo_type=kind, revision=revision)
    return _explained(resolve, name=name, revision=revision, kind=kind).resolved


def listing(name: str, *, commit: str, kind: Kind) -> list[str]:
    """The names of a repository's files, sorted."""
    from httpx2 import TransportError  # noqa: PLC0415
    from huggingface_hub import HfApi, get_cached_repo_tree, snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, OfflineModeIsEnabled  # noqa: PLC0415

    def names() -> Iterable[str]:
        try:
            return [file.path for file in get_cached_repo_tree(name, repo_type=kind, revision=commit)]
        except CachedRepoTreeNotFoundError:
            pass
        try:
            return HfApi().list_repo_files(name, repo_type=kind, revision=commit)
        except (TransportError, OfflineModeIsEnabled):  # an older version of the library cached files without a listing
            folder = Path(snapshot_download(name, repo_type=kind, revision=commit, local_files_only=True))
            return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]

    return sorted(_explained(names, name=name, revision=commit, kind=kind))


def download(name: str, *, commit: str, kind: Kind, files: Iterable[str]) -> Path:
    """The snapshot folder that holds the given files; fetches those that the hub's cache lacks."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415

    files = list(files)
    patterns = [glob.escape(file) for file in files]

    def folder() -> Path:
        try:
            cached = snapshot_download(
                name, repo_type=kind, revision=commit, allow_patterns=patterns, local_files_only=True
            )
            if all((Path(cached) / file).is_file() for file in files):
                return Path(cached)
        except LocalEntryNotFoundError:
            pass
        return Path(snapshot_download(name, repo_type=kind, revision=commit, allow_patterns=patterns))

    return _explained(folder, name=name, revision=commit, kind=kind)


def _explained(call: Callable[[], Result], *, name: str, revision: str, kind: Kind) -> Result:
    """The call's result, its errors turned into one sentence."""
    from httpx2 import HTTPError  # noqa: PLC0415
    from huggingface_hub import errors  # noqa: PLC0415

    try:
        return call()
    except errors.HFValidationError:
        reason = "is no name of a hub repository: write hub:OWNER/NAME or hub:OWNER/NAME@REVISION"
    except errors.GatedRepoError:
        reason = f"asks you to accept its terms first: do so on its page, then run `hf auth login` (a {kind})"
    except errors.RepositoryNotFoundError:
        reason = f"is not a {kind} on the hub that you may read: check the name, or `hf auth login` if it is private"
    except errors.RevisionNotFoundError:
        reason = f"has no revision '{revision}': take a branch, tag or commit from its page, or none for the newest"
    except (errors.RevisionResolutionError, HTTPError, OSError):
        reason = "is not in the hub's cache, and the hub is not reached: check the network or HF_ENDPOINT"
    raise UserError(f"hub:{name} {reason}")
