"""What is in a repository on the hub: its commit, its files, their hashes.

Knows: the hub's API (`/api/models/{repo}/revision/{revision}?blobs=true`). Does not know: which files are wanted.

A large file is listed with its sha256. A small one is in git, which knows it by another hash: it is read here, checked
against that, and gets its sha256.
"""

from __future__ import annotations

import hashlib
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voxtral_voice.errors import WeightsError
from voxtral_voice.weights.hub import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, SourceError, hub_address

NEWEST: Final = "main"
MOST_SMALL_BYTES: Final = 20_000_000
"""Twice of what the hub takes for small."""


class Listed(BaseModel):
    """A file: its path below the repository, its size and its sha256."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str
    size: int
    sha256: str


class _Large(BaseModel):
    sha256: str
    size: int


class _File(BaseModel):
    rfilename: str
    size: int | None = None
    blob_id: str | None = Field(default=None, alias="blobId")
    lfs: _Large | None = None


class _Answer(BaseModel):
    sha: str = Field(pattern=r"^[0-9a-f]{40}$")
    siblings: list[_File]


class HubListing:
    """Of one repository at one commit, asked for when it is entered. revision: "" = the newest. Raises WeightsError."""

    def __init__(self, repo: str, revision: str) -> None:
        self._repo = repo
        self._revision = revision or NEWEST
        self._files: dict[str, _File] = {}
        self.commit = ""

    def __enter__(self) -> Self:
        try:
            timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
            self._client = httpx.Client(timeout=timeout, follow_redirects=True)
        except (ValueError, OSError, ImportError, httpx.InvalidURL) as error:
            raise self._error(f"the proxy or certificate settings cannot be used ({error})") from error
        try:
            self._look_up()
        except WeightsError:
            self._client.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(self._files)

    def hashed(self, path: str) -> Listed:
        """Raises WeightsError."""
        file = self._files[path]
        if file.lfs is not None:
            return Listed(path=path, size=file.lfs.size, sha256=file.lfs.sha256)
        if file.size is None or file.size > MOST_SMALL_BYTES:
            raise self._error(f"it has no sha256 for {path}")
        content = self._get(f"{self._repo}/resolve/{self.commit}/{quote(path)}").content
        in_git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        if file.blob_id not in (None, in_git):
            raise self._error(f"what it gave for {path} is not what it lists")
        return Listed(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())

    def _look_up(self) -> None:
        answer = self._get(f"api/models/{self._repo}/revision/{quote(self._revision, safe='')}?blobs=true")
        try:
            listed = _Answer.model_validate_json(answer.content)
        except ValidationError as error:
            raise self._error("it answers with something that is no list of files") from error
        self.commit = listed.sha
        self._files = {file.rfilename: file for file in listed.siblings}

    def _get(self, path: str) -> httpx.Response:
        try:
            url, headers = hub_address(path)
            response = self._client.get(url, headers=headers)
        except (SourceError, httpx.HTTPError) as error:
            raise self._error(str(error) or type(error).__name__) from error
        if response.status_code in (401, 403):
            raise self._error(
                f"it refuses (HTTP {response.status_code}), or there is no such repository; a token goes into HF_TOKEN"
            )
        if response.status_code == 404:
            raise self._error(f"there is no such repository or revision ({self._revision}), and no such folder here")
        if response.status_code != httpx.codes.OK:
            raise self._error(f"it answers HTTP {response.status_code}")
        return response

    def _error(self, reason: str) -> WeightsError:
        return WeightsError(
            f"The hub cannot be asked for {self._repo}: {reason}. Check the name and the network, or name a folder "
            "that has the model."
        )
