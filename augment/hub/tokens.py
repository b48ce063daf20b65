"""Tokens: where one is found, and what makes one unusable before any request carries it.

A token is handed to the client and to nothing else: no record, log, manifest or error text holds it.
"""

from __future__ import annotations

import re

from huggingface_hub import get_token

from augment.hub.errors import HubError


def find_token(given: str | None = None) -> str | None:
    """The given token, else HF_TOKEN or the login's; HubError for one that would break a header open.

    The HTTP library quotes a header that it refuses, and thereby the token: it never gets to see a bad one.
    """
    token = (given or get_token() or "").strip()
    if token and not re.fullmatch(r"[!-~]+", token):
        raise HubError(
            "the Hub token has characters that no token has (its value is not shown): set it again"
        )
    return token or None


def require_token(given: str | None) -> str:
    """The token to publish with; HubError when there is none."""
    token = find_token(given)
    if token is None:
        raise HubError("publishing needs a Hub token: set HF_TOKEN or log in with `hf auth login`")
    return token
