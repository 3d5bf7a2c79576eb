"""Files of Hugging Face hub repositories: read by commit, and published. What is in the hub's cache needs no network.

Import it only where a hub repository is named: the hub's library takes longer to import than a plan takes.
"""

import glob
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal

from httpx2 import HTTPError, TransportError
from huggingface_hub import CommitOperationAdd, HfApi, errors, get_cached_repo_tree, snapshot_download
from huggingface_hub.utils import validate_repo_id

from pipeline.errors import DISK, UserError

RepositoryKind = Literal["model", "dataset"]

UNREADABLE = {
    errors.GatedRepoError: "asks you to accept its terms first: do so on its page, then run `hf auth login` (a {kind})",
    errors.RepositoryNotFoundError: "is not a {kind} on the hub that you may read: check the name, or `hf auth login`"
    " if it is private",
    errors.RevisionNotFoundError: "has no revision '{revision}': take a branch, tag or commit from its page, or none"
    " for the newest",
    Exception: "is not in the hub's cache, and the hub is not reached: check the network or HF_ENDPOINT",
}


def commit_of(name: str, *, revision: str, kind: RepositoryKind) -> str:
    """The commit that a branch, tag or commit stands for now; without a network, what the hub's cache remembers."""
    if re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    with _errors_as_a_sentence(name, kind=kind, revision=revision):
        return HfApi().resolve_revision(name, repo_type=kind, revision=revision).resolved


def listing(name: str, *, commit: str, kind: RepositoryKind) -> list[str]:
    """The names of a repository's files, sorted."""
    with _errors_as_a_sentence(name, kind=kind, revision=commit):
        with suppress(errors.CachedRepoTreeNotFoundError):
            return sorted(file.path for file in get_cached_repo_tree(name, repo_type=kind, revision=commit))
        try:
            return sorted(HfApi().list_repo_files(name, repo_type=kind, revision=commit))
        except (TransportError, errors.OfflineModeIsEnabled):  # an older version of the library cached no listing
            folder = Path(snapshot_download(name, repo_type=kind, revision=commit, local_files_only=True))
            return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def download(name: str, *, commit: str, kind: RepositoryKind, files: Iterable[str]) -> Path:
    """The snapshot folder that holds the given files; fetches those that the hub's cache lacks."""
    files = list(files)
    patterns = [glob.escape(file) for file in files]
    with _errors_as_a_sentence(name, kind=kind, revision=commit):
        fetch = partial(snapshot_download, name, repo_type=kind, revision=commit, allow_patterns=patterns)
        with suppress(errors.LocalEntryNotFoundError):
            cached = Path(fetch(local_files_only=True))
            if all((cached / file).is_file() for file in files):
                return cached
        return Path(fetch())


def check_push(name: str) -> None:
    """Raises UserError for a name that is none, or where nobody is logged in; before a run that ends with a push."""
    with _errors_as_a_sentence(name):
        validate_repo_id(name)
        HfApi().whoami()


def publish(name: str, files: Mapping[str, Path | bytes], *, kind: RepositoryKind, message: str) -> str:
    """Publish files, by their names in the repository, as one commit; a repository that is missing is created.

    Returns: the commit's address. Raises: UserError where the hub refuses, or is not reached.
    """
    check_push(name)
    added = [CommitOperationAdd(path, content) for path, content in files.items()]
    with _errors_as_a_sentence(name):
        HfApi().create_repo(name, repo_type=kind, exist_ok=True)
        return HfApi().create_commit(name, added, repo_type=kind, commit_message=message).commit_url


@contextmanager
def _errors_as_a_sentence(name: str, *, kind: RepositoryKind = "model", revision: str | None = None) -> Iterator[None]:
    """Turn each error of the hub's library into a UserError, but for a full disk.

    Args: revision: None where the repository is written.
    """
    try:
        yield
    except errors.HFValidationError:
        form = "OWNER/NAME" if revision is None else "hub:OWNER/NAME or hub:OWNER/NAME@REVISION"
        raise UserError(f"hub:{name} is no name of a hub repository: write {form}") from None
    except (errors.RevisionResolutionError, HTTPError, OSError) as error:
        if getattr(error, "errno", None) in DISK:
            raise
        if revision is None:
            raise UserError(f"hub:{name} {_why_not_written(error)}") from None
        reason = next(text for kind_of_error, text in UNREADABLE.items() if isinstance(error, kind_of_error))
        raise UserError(f"hub:{name} {reason.format(kind=kind, revision=revision)}") from None


def _why_not_written(error: Exception) -> str:
    if isinstance(error, errors.LocalTokenNotFoundError):
        return "cannot be written without a login: run `hf auth login`, or set HF_TOKEN"
    if not isinstance(error, errors.HfHubHTTPError):
        return "is not published: the hub is not reached; check the network or HF_ENDPOINT"
    status = error.response.status_code
    if status in (401, 403):
        return f"cannot be written with your token ({status}): give one that may write there, by `hf auth login`"
    return f"is refused by the hub ({status}): {error.server_message or 'no reason given'}"
