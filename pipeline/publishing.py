"""Publish files on the Hugging Face hub. Whoever publishes is whom `hf auth login` or HF_TOKEN says.

`huggingface_hub` is imported where it is used: what publishes nothing does not wait for it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

from pipeline.errors import UserError

Result = TypeVar("Result")


def check_push(name: str) -> None:
    """Raises UserError for a name that is none, or where nobody is logged in; before a run that ends with a push."""
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.utils import validate_repo_id  # noqa: PLC0415

    _explained(name, lambda: validate_repo_id(name))
    _explained(name, lambda: HfApi().whoami())


def publish(name: str, files: Mapping[str, Path | bytes], *, kind: Literal["model", "dataset"], message: str) -> str:
    """Publish files, by their names there, as one commit; the repository is made where it is not there.

    Returns: the commit's address.
    Raises: UserError where the hub does not let you, or is not reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi  # noqa: PLC0415

    check_push(name)
    api = HfApi()
    added = [CommitOperationAdd(path, content) for path, content in files.items()]
    _explained(name, lambda: api.create_repo(name, repo_type=kind, exist_ok=True))
    return _explained(name, lambda: api.create_commit(name, added, repo_type=kind, commit_message=message)).commit_url


def _explained(name: str, call: Callable[[], Result]) -> Result:
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
