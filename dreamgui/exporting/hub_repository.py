"""A folder becomes a repository on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from huggingface_hub import CommitOperationAdd, HfApi, constants, errors
from huggingface_hub.utils import validate_repo_id

from dreamgui.errors import BadInput
from dreamgui.models.sources.login import hub_token

_LOGIN = "Put an access token that may write into its field, or run 'hf auth login'."


@dataclass(frozen=True)
class HubRepository:
    """A model repository that this login may write to.

    Attributes:
        name: "owner/name".
        url: its page.
        private: whether only its owner sees it.
    """

    api: HfApi
    name: str
    url: str
    private: bool

    @classmethod
    def open(cls, name: str, private: bool, token: str = "") -> HubRepository:
        """Return the repository of this name, made where there is none.

        Args:
            name: "owner/name", or a name of the login's own.
            private: whether a new one is private. One that is there stays as it is.
            token: of the login; the machine's own login if empty.

        Raises:
            BadInput: there is no login, the name isn't one, the hub refuses it or doesn't answer, or the repository
                is public and should be private.
        """
        secret = hub_token(token)
        if not secret:
            raise BadInput("There is no login to the Hugging Face Hub.", _LOGIN)
        api = HfApi(endpoint=constants.ENDPOINT, token=secret)
        with _explained(name):
            full = name if "/" in name else f"{api.whoami()['name']}/{name}"
            validate_repo_id(full)
            url = str(api.create_repo(full, private=private, exist_ok=True))
            is_private = bool(api.model_info(full).private)
        if private and not is_private:
            raise BadInput(
                f"{full} is there already and everybody sees it.",
                "Choose another name, make it private on its page, or switch 'Private' off.",
            )
        return cls(api, full, url, is_private)

    def upload(self, folder: Path, message: str) -> Iterator[str]:
        """Upload a folder's files as one commit. Yield each file's name before it is uploaded.

        A caller that stops in between leaves the repository as it was: nothing is shown before the commit.

        Raises:
            BadInput: the hub refuses it or doesn't answer.
        """
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        additions = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
        for addition in additions:
            yield addition.path_in_repo
            with _explained(self.name):
                self.api.preupload_lfs_files(self.name, additions=[addition])
        with _explained(self.name):
            self.api.create_commit(self.name, additions, commit_message=message)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say what the hub refuses in a sentence. Its answers may hold anything, so only their status is told."""
    try:
        yield
    except errors.HFValidationError as error:
        raise BadInput(
            f"{name!r} can't be a repository's name.", "Use letters, digits, '-', '_' and '.': owner/name."
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise BadInput(
                f"The login may not write to {name} on the Hugging Face Hub (status {status}).", _LOGIN
            ) from error
        raise BadInput(
            f"The Hugging Face Hub refused {name} (status {status}).", "Try again later, or use another name."
        ) from error
    except httpx.TransportError as error:
        raise BadInput(
            "The Hugging Face Hub can't be reached.",
            "Check the network, or download the file and upload it by hand.",
        ) from error
