"""Files of Hugging Face hub repositories, by commit. What is in the hub's cache needs no network.

`huggingface_hub` is imported where it is used: a plan that names no hub repository does not wait for it.
"""

import glob
import re
from collections.abc import Callable, Iterable, Mapping
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


Result = TypeVar("Result")


def check_push(name: str) -> None:
    """Raises UserError for a name that is none, or where nobody is logged in; before a run that ends with a push."""
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.utils import validate_repo_id  # noqa: PLC0415

    _explained_push(name, lambda: validate_repo_id(name))
    _explained_push(name, lambda: HfApi().whoami())


def publish(name: str, files: Mapping[str, Path | bytes], *, kind: Literal["model", "dataset"], message: str) -> str:
    """Publish files, by their names there, as one commit; the repository is made where it is not there.

    Returns: the commit's address.
    Raises: UserError where the hub does not let you, or is not reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi  # noqa: PLC0415

    check_push(name)
    api = HfApi()
    added = [CommitOperationAdd(path, content) for path, content in files.items()]
    _explained_push(name, lambda: api.create_repo(name, repo_type=kind, exist_ok=True))
    return _explained_push(
        name, lambda: api.create_commit(name, added, repo_type=kind, commit_message=message)
    ).commit_url


def _explained_push(name: str, call: Callable[[], Result]) -> Result:
    """The call's result, its errors turned into one sentence."""
    from httpx2 import HTTPError  # noqa: PLC0415
    from huggingface_hub import errors  # noqa: PLC0415

    try:
        return call()
    except errors.HFValidationError:
        reason = "is no name of a hub repository: write OWNER/NAME"
    except errors.LocalTokenNotFoundError:
        reason = "cannot be written by nobody: run `hf auth login`, or set HF_TOKEN"
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        reason = f"is refused by the hub ({status}): {error.server_message or 'no reason given'}"
        if status in (401, 403):
            reason = f"cannot be written with your token ({status}): give one that may write there, by `hf auth login`"
    except (HTTPError, OSError):
        reason = "is not published: the hub is not reached; check the network or HF_ENDPOINT"
    raise UserError(f"hub:{name} {reason}")
