"""What is true of a truncation: which words were heard, and which translations they support.

Words are compared without case and punctuation. Nothing here reads audio or a model.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

TRUTH_FILE = "truth.jsonl"
SAMPLES_PER_MS = 16
_PUNCTUATION = ".,;:!?\"'„“”»«…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A valid translation; ``needs[i]`` source words must have been heard before word i may be said."""

    words: tuple[str, ...]
    needs: tuple[int, ...]

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def supported(self, num_heard: int) -> int:
        """How many leading words the heard source words support."""
        return sum(1 for _ in takewhile(lambda need: need <= num_heard, self.needs))


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixScore:
    """A partial translation against the truth: words beyond it, words short of it, and the gold length."""

    over: int
    under: int
    gold_words: int

    @property
    def exact(self) -> bool:
        return self.over == 0 and self.under == 0


def _plain(word: str) -> str:
    return word.strip(_PUNCTUATION).casefold()


def _common_prefix(left: list[str], right: list[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))


def _score(words: list[str], alternative: Alternative, num_heard: int) -> PrefixScore:
    gold = alternative.supported(num_heard)
    right = min(_common_prefix(words, [_plain(w) for w in alternative.words]), gold)
    return PrefixScore(over=len(words) - right, under=gold - right, gold_words=gold)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """All that is known of one utterance; ``translations[0]`` is the translation that the corpus holds."""

    id: str
    split: str
    pattern: str
    num_samples: int
    word_ends_sample: tuple[int, ...]
    source_words: tuple[str, ...]
    translations: tuple[Alternative, ...]

    @cached_property
    def references(self) -> list[str]:
        """Every valid translation, the corpus's own first."""
        return [alternative.text for alternative in self.translations]

    def words_heard(self, kept_samples: int) -> int:
        """How many source words end within the kept samples."""
        return sum(1 for end in self.word_ends_sample if end <= kept_samples)

    def gold_prefix(self, kept_samples: int) -> str:
        """The longest prefix of a valid translation that the kept audio supports (ties: the corpus's own)."""
        heard = self.words_heard(kept_samples)
        best = max(self.translations, key=lambda alternative: alternative.supported(heard))
        return " ".join(best.words[: best.supported(heard)])

    def score_prefix(self, text: str, kept_samples: int) -> PrefixScore:
        """Score a partial translation against the alternative that forgives it most."""
        heard = self.words_heard(kept_samples)
        words = [plain for plain in map(_plain, text.split()) if plain]
        scores = [_score(words, alternative, heard) for alternative in self.translations]
        return min(scores, key=lambda score: (score.over + score.under, score.over))

    def delays_ms(self, alternative: Alternative) -> list[float]:
        """When a perfect interpreter says each word: at the end of the source word it waits for."""
        return [self.word_ends_sample[need - 1] / SAMPLES_PER_MS for need in alternative.needs]


def truth_to_json(truth: Truth) -> str:
    """One line of ``truth.jsonl``."""
    record = {
        "id": truth.id,
        "split": truth.split,
        "pattern": truth.pattern,
        "num_samples": truth.num_samples,
        "word_ends_sample": truth.word_ends_sample,
        "source_words": truth.source_words,
        "translations": [{"words": a.words, "needs": a.needs} for a in truth.translations],
    }
    return json.dumps(record, ensure_ascii=False)


def _from_record(record: dict[str, Any]) -> Truth:
    translations = tuple(
        Alternative(words=tuple(t["words"]), needs=tuple(t["needs"])) for t in record["translations"]
    )
    return Truth(
        id=record["id"],
        split=record["split"],
        pattern=record["pattern"],
        num_samples=record["num_samples"],
        word_ends_sample=tuple(record["word_ends_sample"]),
        source_words=tuple(record["source_words"]),
        translations=translations,
    )


def load_truth(root: Path) -> dict[str, Truth]:
    """The truth of every utterance of a corpus, by id."""
    with (root / TRUTH_FILE).open(encoding="utf-8") as lines:
        return {truth.id: truth for truth in map(_from_record, map(json.loads, lines))}
