"""What a policy is: it sees what was heard and written, and answers read or write.

A policy knows neither engine nor audio. Once the audio has ended nobody asks it any more: whatever the model then
says is written, so the most patient setting of every policy is offline translation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

Ids = tuple[int, ...]
Layers = tuple[int, ...]
ChunkMs = Annotated[int, Field(ge=20, le=60_000)]
System = Literal["base", "control", "simulsa"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The state before a step: its number (from 1), the audio it hears, and what earlier steps did.

    `heard_ms` is the audio given to the model, `emitted` the prefix that it continues. `hypotheses` are its earlier
    answers, oldest first, each whole: with the prefix it continued.
    """

    step: int
    heard_ms: float
    emitted: Ids
    hypotheses: Sequence[Ids]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hypothesis:
    """What the model would say next: `ids` continue `prefix`; `finished` when it ended its turn, not at a cap.

    `attention` has shape (tokens of prefix and ids, audio positions): where the model listened as it chose each token;
    None unless the policy attends.
    """

    prefix: Ids
    ids: Ids
    finished: bool
    tokenizer: Any
    tgt_lang: str
    attention: NDArray[np.float32] | None = None

    def whole(self, limit: int) -> int:
        """How many of the first `limit` ids end with a whole unit; the id behind them proves it whole.

        Behind a turn that ended nothing follows; behind a cap something may, so the last id is only a witness.
        """
        from lalm.units import cut_to_whole_units  # loads torch, which reading a configuration does without

        if limit >= len(self.ids) and self.finished:
            return len(self.ids)
        limit = min(limit, len(self.ids) - (not self.finished))
        if limit <= 0:
            return 0
        said = (*self.prefix, *self.ids[:limit])
        kept, _ = cut_to_whole_units(self.tokenizer, said, self.tgt_lang, self.ids[limit])
        return max(0, len(kept) - len(self.prefix))

    @property
    def evidence(self) -> NDArray[np.float32]:
        """The attention of a hypothesis that was made for a policy which attends."""
        assert self.attention is not None
        return self.attention

    def unit_ends(self) -> Iterator[int]:
        """After how many ids each whole unit ends, ascending."""
        last = 0
        for limit in range(1, len(self.ids) + 1):
            end = self.whole(limit)
            if end > last:
                last = end
                yield end


class Policy(Protocol):
    """When to read on, and how much of a hypothesis to write; frozen, so one policy serves all utterances.

    `revises`: every hypothesis is made from scratch and replaces what stood.
    """

    revises: ClassVar[bool]

    @property
    def attends(self) -> Layers | None:
        """The decoder layers whose attention it judges by, () for all of them; None: it does without."""
        ...

    def reads(self, seen: Seen, /) -> bool:
        """Whether to hear more before the model is asked at all."""
        ...

    def writes(self, seen: Seen, said: Hypothesis, /) -> int:
        """How many of the hypothesis's ids may be written; the last unit is written only if it is whole."""
        ...


class Always:
    """What most policies are: they append, without attention, and ask the model at every step."""

    revises: ClassVar[bool] = False

    @property
    def attends(self) -> Layers | None:
        return None

    def reads(self, _seen: Seen, /) -> bool:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPoint:
    """One point of a policy's curve: the policy with its knob set, and the audio per step (None: whole)."""

    label: str
    policy: Policy
    chunk_ms: int | None


def distinct(value: Any) -> Any:
    """The values of a tuple, numbers ascending; anything else as it is. Raises ValueError on a repeated value."""
    if not isinstance(value, tuple):
        return value
    if len(set(value)) != len(value):
        raise ValueError(f"the values must be distinct, got {list(value)}: remove the repeated one")
    return value if not value or isinstance(value[0], str) else tuple(sorted(value))


class KnobConfig(BaseModel):
    """What the configurations of all policies but SimulSA's share: they say which systems they run on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    systems: tuple[System, ...] = Field(
        default=("base",), min_length=1, description="The systems that this policy is measured on."
    )

    _distinct = field_validator("*")(distinct)


class AttentionConfig(KnobConfig):
    """What the configurations of attention policies share; only the transformers engine can run them."""

    layers: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(),
        description="Decoder layers (from 0) whose attention is averaged, all heads of each; empty: all layers.",
    )
    chunk_ms: ChunkMs = Field(default=640, description="Audio per step, in ms.")
