"""What the Hub's client raises, sorted into what passes by itself and what its user must mend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx, parse_ratelimit_headers  # type: ignore[attr-defined]  # see lalm.hub

from lalm.errors import SimulsaError

PASSING_STATUS = frozenset({408, 409, 412, 429, 500, 502, 503, 504})
"""409 and 412: another commit came first; the rest: the Hub is busy or ill."""

HUB_ERRORS = (httpx.HTTPError, OfflineModeIsEnabled, HFValidationError, json.JSONDecodeError)
"""A refusal, no answer, offline mode, a name it does not take, and a proxy's page where JSON was due."""


class HubError(SimulsaError):
    """A publication that the Hub refused or that must not be made, or a dataset there that is not whole."""


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status behind an error, or None when there was no answer."""
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def passes(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in PASSING_STATUS
    return isinstance(error, (httpx.TransportError, json.JSONDecodeError)) and not _is_our_fault(error)


def asked_wait_s(error: BaseException | None) -> float | None:
    """How long the Hub asked to be left alone (Retry-After, or the end of a rate limit's window)."""
    if not isinstance(error, HfHubHTTPError):
        return None
    headers: Mapping[str, str] = error.response.headers
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    seconds = headers.get("Retry-After", "").strip()
    return float(seconds) if seconds.isdigit() else None


def explain(error: Exception, repo: str, endpoint: str, secret: str | None) -> NoReturn:
    """Raise the HubError that says what to do; a token that some message repeats is cut out of it."""
    text = str(error).strip()
    hidden = text.replace(secret, "<token>") if secret else text
    message = f"{repo} at {endpoint}: {_remedy(error)} ({type(error).__name__}: {hidden})"
    raise HubError(message) from (error if hidden == text else None)


def _is_our_fault(error: BaseException) -> bool:
    return isinstance(error, (httpx.LocalProtocolError, httpx.UnsupportedProtocol))


def _remedy(error: Exception) -> str:
    status = status_of(error)
    if isinstance(error, GatedRepoError):
        return "its terms must be accepted on its page first"
    if status == 401:
        return "the token is missing, expired or wrong; set HF_TOKEN or log in with `hf auth login`"
    if status == 403:
        return "the token may not write there; use one with write access to this repository"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision; name a branch, tag or commit of it"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository that this token can see"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE=1 forbids every request; unset it"
    if isinstance(error, HFValidationError):
        return "a repository is named NAMESPACE/NAME"
    if passes(error):
        return "the Hub did not do it in all attempts; run the same command again, it continues where it was"
    return "the Hub refused"
