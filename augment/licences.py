"""What a corpus licence lets us publish: text and audio, text alone, or nothing.

The strictest licence of a mixture wins. These are defaults for the careful, not legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_STRICTNESS = (
    ("cc0", r"cc0|cc-zero|public-domain|pd|pddl|unlicense"),
    ("permissive", r"mit|apache|bsd|isc"),
    ("cc-by", r"cc-by"),
    ("cc-by-sa", r"cc-by-sa"),
    ("cc-by-nc", r"cc-by-nc"),
    ("cc-by-nc-sa", r"cc-by-nc-sa"),
)
"""From the most open family to the strictest; anything else counts as unknown, which is stricter still."""

_HUB_NAMES = frozenset(
    [f"cc-by{terms}-{version}" for terms in ("", "-sa", "-nc", "-nc-sa") for version in ("2.0", "3.0", "4.0")]
    + ["cc0-1.0", "mit", "apache-2.0", "pddl", "unlicense", "bsd", "bsd-2-clause", "bsd-3-clause"]
)


def normal_name(license: str) -> str:
    """Lower case with hyphens: `CC BY-NC 4.0` becomes `cc-by-nc-4.0`."""
    return re.sub(r"[\s_/]+", "-", license.strip().lower())


def forbids_derivatives(license: str) -> bool:
    """True for the no-derivatives family (`*-nd`): neither truncations nor partial targets may be shared."""
    return bool(re.search(r"(^|-)nd($|-)|no-?deriv", normal_name(license)))


def allows_audio(license: str) -> bool:
    """True when the licence is on the list of those that allow sharing the recordings themselves."""
    return not forbids_derivatives(license) and _rank(license) < len(_STRICTNESS)


def strictest(licenses: Iterable[str]) -> str:
    """The licence that binds a mixture; `unknown` for an empty one."""
    return max(sorted(set(licenses)), key=_rank, default="unknown")


def hub_name(license: str) -> str:
    """The identifier a dataset card may carry: a known one, else `unknown` or `other`."""
    name = normal_name(license)
    if name in _HUB_NAMES:
        return name
    if name == "cc0":
        return "cc0-1.0"
    return "unknown" if name in ("", "unknown") else "other"


def card_licence(license: str) -> dict[str, str]:
    """The licence keys of a card's YAML block; a licence without an identifier is named in full."""
    name = hub_name(license)
    return {"license": name, "license_name": license} if name == "other" else {"license": name}


def _rank(license: str) -> int:
    if forbids_derivatives(license):
        return len(_STRICTNESS) + 1
    name = normal_name(license)
    for rank, (_, pattern) in enumerate(_STRICTNESS):
        if re.fullmatch(rf"({pattern})(-[\d.]+)?(-(clause|license|only))?(-[a-z]{{2,3}})?", name):
            return rank
    return len(_STRICTNESS)
