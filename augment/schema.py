"""The nouns of the data side: every record that a stage of the pipeline hands to the next.

This module knows no files, no models and no configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SAMPLE_RATE_HZ = 16_000
"""Every waveform inside simulsa is mono at this rate, 16-bit values held in float32."""

Stage = Literal["read", "truncate", "generate", "assemble"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioRef:
    """Where an utterance's audio lies: a file below the corpus root, and optionally a part of it.

    `path` is relative to the corpus root and never escapes it. `offset_s` and `duration_s` cut a segment
    out of a long recording; `duration_s=None` means to the end of the file.
    """

    path: str
    offset_s: float = 0.0
    duration_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One offline example: an audio reference, a language pair, the source text if known, the target text."""

    id: str
    corpus: str
    split: str
    audio: AudioRef
    src_lang: str
    tgt_lang: str
    src_text: str | None
    tgt_text: str
    license: str
    speaker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """An input that yields no row: which one, at which stage, for which reason (never dropped silently).

    `reason` is a snake_case code counted in reports (`empty_reference`, `audio_missing`, ...); `detail` is the
    sentence for a person, naming the rule and the value; `where` is a locator such as `train.tsv:17`.
    """

    id: str
    stage: Stage
    reason: str
    detail: str
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncatedUtterance:
    """An utterance and how many of its samples are kept: `0 < kept_samples < num_samples`.

    `id` is the utterance's id for draw 0 and `{id}.d{draw}` for further draws. `kept_ratio` is the drawn share
    (SimulSA's Beta law); `kept_samples / num_samples` equals it up to one sample. `audio_sha256` is the digest of
    the full 16 kHz mono int16 PCM, `kept_sha256` of its first `kept_samples` samples.
    """

    id: str
    draw: int
    utterance: Utterance
    num_samples: int
    kept_samples: int
    kept_ratio: float
    audio_sha256: str
    kept_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialTarget:
    """The part of the translation that the kept audio supports, and the evidence for it.

    `token_ids` is the accepted draft cut back to whole units (words, or characters for zh/ja/th); an empty target
    is legal: hear, say nothing. `accepted_tokens` counts the tokens accepted before that cut. `near_tie` marks a
    decision that lay within epsilon of its boundary and was scored again alone.
    """

    id: str
    text: str
    token_ids: tuple[int, ...]
    draft_text: str
    draft_ids: tuple[int, ...]
    accepted_tokens: int
    mean_logprob: float | None
    near_tie: bool
    kept_logprobs: tuple[float, ...]
    rival_logprobs: tuple[float, ...]
    other_logprobs: tuple[float, ...] = ()
    """Log-probabilities of the draft given full audio (ratio, stochastic) or silence (contrast); else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityEstimate:
    """COMET's score of a draft against the source text, without a reference; null where the text is not known.

    It judges the draft, not the partial target: a beginning says less than its source, however good it is.
    """

    id: str
    score: float | None
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFlags:
    """What the declared quality checks found for one row; flags are kept, never dropped silently.

    `qe_score` and `qe_model` are those of its QualityEstimate, null where none was made.
    """

    length_ratio: float
    lid_prob: float | None = None
    qe_score: float | None = None
    qe_model: str | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A Parquet file of SimulExamples: its path below the dataset directory, sha256, size and row count."""

    path: str
    sha256: str
    num_bytes: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The balance of a build: `input = not_selected + rejected_at_read + selected`,
    `selected = rows + rejected_later`. `selected` counts draws, and `input` each further draw once more."""

    input: int
    not_selected: int
    rejected_at_read: int
    selected: int
    rejected_later: int
    rows: int

    def check(self) -> None:
        """Raise ValueError naming both sides when the sums do not balance."""
        if self.input != self.not_selected + self.rejected_at_read + self.selected:
            raise ValueError(
                f"input={self.input} must equal not_selected={self.not_selected} + "
                f"rejected_at_read={self.rejected_at_read} + selected={self.selected}"
            )
        if self.selected != self.rows + self.rejected_later:
            raise ValueError(
                f"selected={self.selected} must equal rows={self.rows} + rejected_later={self.rejected_later}"
            )
