"""Files of Hugging Face hub repositories: read by commit, and published. What is in the hub's cache needs no network.

Import it only where a hub repository is named: the hub's library takes longer to import than a plan takes.
"""

import glob
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from json import JSONDecodeError
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
}
NO_HUB = (
    "is not found: what answers is not the hub, but a page such as a proxy's or a login's; check the network or"
    " HF_ENDPOINT"
)


def commit_of(name: str, *, revision: str, kind: RepositoryKind) -> str:
    """The commit that a branch, tag or commit stands for now; where the hub does not say, what its cache remembers."""
    if re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    resolve = partial(HfApi().resolve_revision, name, repo_type=kind, revision=revision)
    with _errors_as_a_sentence(name, kind=kind, revision=revision):
        try:
            return resolve().resolved
        except (errors.HfHubHTTPError, JSONDecodeError) as error:
            if isinstance(error, errors.HfHubHTTPError) and not _says_nothing_of_the_repository(error):
                raise
            with suppress(errors.RevisionResolutionError):
                commit = resolve(local_files_only=True).resolved
                print(
                    f"hub:{name}: the hub does not answer; commit {commit} of the local cache is used", file=sys.stderr
                )
                return commit
            raise


def _says_nothing_of_the_repository(error: errors.HfHubHTTPError) -> bool:
    """Whether the hub refuses every question: it had too many, the token is a wrong one, or the fault is its own."""
    status = error.response.status_code
    wrong_token = status == 401 and not isinstance(error, errors.RepositoryNotFoundError)
    return wrong_token or status == 429 or status >= 500


def listing(name: str, *, commit: str, kind: RepositoryKind) -> list[str]:
    """The names of a repository's files, sorted."""
    with _errors_as_a_sentence(name, kind=kind, revision=commit):
        with suppress(errors.CachedRepoTreeNotFoundError):
            return sorted(file.path for file in get_cached_repo_tree(name, repo_type=kind, revision=commit))
        try:
            return sorted(HfApi().list_repo_files(name, repo_type=kind, revision=commit))
        except (TransportError, errors.OfflineModeIsEnabled, errors.HfHubHTTPError, JSONDecodeError) as error:
            if isinstance(error, errors.HfHubHTTPError) and not _says_nothing_of_the_repository(error):
                raise
            with suppress(errors.LocalEntryNotFoundError):  # what transformers brought has no listing in the cache
                folder = Path(snapshot_download(name, repo_type=kind, revision=commit, local_files_only=True))
                return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
            raise


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
    except JSONDecodeError:
        raise UserError(f"hub:{name} {NO_HUB}") from None
    except (errors.RevisionResolutionError, HTTPError, OSError) as error:
        if getattr(error, "errno", None) in DISK:
            raise
        if isinstance(error, OSError) and error.filename:
            raise UserError(f"hub:{name}: {error.filename}: {error.strerror}") from None
        if revision is None:
            raise UserError(f"hub:{name} {_why_not_written(error)}") from None
        raise UserError(f"hub:{name} {_why_not_read(error, kind=kind, revision=revision)}") from None


def _why_not_read(error: Exception, *, kind: RepositoryKind, revision: str) -> str:
    for kind_of_error, text in UNREADABLE.items():
        if isinstance(error, kind_of_error):
            return text.format(kind=kind, revision=revision)
    refusal = error if isinstance(error, errors.HfHubHTTPError) else error.__cause__
    if not isinstance(refusal, errors.HfHubHTTPError):
        return "is not in the hub's cache, and the hub is not reached: check the network or HF_ENDPOINT"
    status, said = refusal.response.status_code, refusal.server_message or "no reason given"
    if status in (401, 403):
        return f"may not be read with your token ({status}: {said}): give another by `hf auth login` or HF_TOKEN"
    if status == 429:
        return (
            "is not in the hub's cache, and the hub takes no more requests for now (429): wait some minutes, or run"
            " `hf auth login`, which allows more"
        )
    if status >= 500:
        return f"is not in the hub's cache, and the hub has a fault of its own ({status}): try again later"
    return f"is refused by the hub ({status}): {said}"


def _why_not_written(error: Exception) -> str:
    if isinstance(error, errors.LocalTokenNotFoundError):
        return "cannot be written without a login: run `hf auth login`, or set HF_TOKEN"
    if not isinstance(error, errors.HfHubHTTPError):
        return "is not published: the hub is not reached; check the network or HF_ENDPOINT"
    status = error.response.status_code
    if status in (401, 403):
        return f"cannot be written with your token ({status}): give one that may write there, by `hf auth login`"
    return f"is refused by the hub ({status}): {error.server_message or 'no reason given'}"
