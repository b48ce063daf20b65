"""Random choices are functions of what they are about, never the state of a generator.

So a choice does not depend on the order of the corpus, on how many workers there are, or on where a run
resumed.
"""

from __future__ import annotations

import hashlib
import json


def uniform01(seed: int, purpose: str, corpus: str, id: str) -> float:
    """A number in [0, 1) that only (seed, purpose, corpus, id) decide.

    The arguments are hashed as one JSON list, so no two tuples share an encoding; the top 53 of the digest's
    64 bits are used, because all 64 would round up to 1.0 now and then.
    """
    key = json.dumps([seed, purpose, corpus, id], separators=(",", ":")).encode("ascii")
    digest = hashlib.blake2b(key, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2.0**53
