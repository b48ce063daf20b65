"""Sentences of one to three clauses, with every valid German translation and what each word waits for.

The end of a clause counts as heard with its last word. A sentence belongs to exactly one split by the
hash of its English text, and some verb-object pairs are never spoken in the training split.
"""

from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate, product
from math import prod

from demo.dice import Dice
from demo.patterns import PATTERNS, Segment
from demo.phrases import Tokens

MAX_ALTERNATIVES = 12
MIN_WORDS, MAX_WORDS = 7, 20
HELD_OUT_PAIR_SHARE = 0.05
HELD_OUT_SENTENCE_SHARE = {"test": 0.06, "dev": 0.04}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A translation and, for each of its words, how many source words must have been heard."""

    words: tuple[str, ...]
    needs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence of the toy language; ``renderings[0]`` is the translation that the corpus holds."""

    pattern: str
    words: tuple[str, ...]
    renderings: tuple[Rendering, ...]
    pairs: tuple[tuple[str, str], ...]
    commas: tuple[int, ...]


def is_held_out_pair(pair: tuple[str, str]) -> bool:
    """Whether training may never combine this verb with this object or place."""
    return Dice("held-out-pair").unit("-".join(pair)) < HELD_OUT_PAIR_SHARE


def split_of(words: tuple[str, ...]) -> str:
    """The only split that may hold this sentence, a function of its text."""
    u = int.from_bytes(blake2b(" ".join(words).encode(), digest_size=8).digest(), "big") / 2**64
    for split, share in HELD_OUT_SENTENCE_SHARE.items():
        if u < share:
            return split
        u -= share
    return "train"


def _number(tokens: Tokens, position: dict[str, int]) -> Rendering:
    """Turn keys into counts of heard words; a later word never needs less than an earlier one."""
    needs = tuple(accumulate((position[t.needs] for t in tokens), max))
    return Rendering(words=tuple(t.text for t in tokens), needs=needs)


def _assemble(pattern: str, segments: list[Segment]) -> Sentence:
    words = [word for segment in segments for word in segment.words]
    position = {word.key: i + 1 for i, word in enumerate(words)}
    assert len(position) == len(words), words
    starts = accumulate((len(s.words) for s in segments), initial=0)
    chosen = (sum(parts, ()) for parts in product(*(s.german for s in segments)))
    renderings = {tokens: _number(tokens, position) for tokens in chosen}
    return Sentence(
        pattern=pattern,
        words=tuple(word.text for word in words),
        renderings=tuple(renderings.values()),
        pairs=tuple(pair for s in segments for pair in s.pairs),
        commas=tuple(start for start, s in zip(starts, segments, strict=False) if s.comma),
    )


def _own_first(dice: Dice, renderings: tuple[Rendering, ...]) -> tuple[Rendering, ...]:
    """Usually the preferred rendering is the corpus translation, sometimes another valid one."""
    if len(renderings) == 1 or dice.chance("preferred?", 0.7):
        return renderings
    own = dice.pick("own", renderings[1:])
    return (own, *(r for r in renderings if r != own))


def _draft(dice: Dice) -> Sentence | None:
    """A sentence, or nothing when it is too short, too long or has too many translations."""
    name, pattern = dice.weighted("pattern", [((name, make), weight) for name, make, weight in PATTERNS])
    segments = pattern(dice)
    num_words = sum(len(s.words) for s in segments)
    if not MIN_WORDS <= num_words <= MAX_WORDS or prod(len(s.german) for s in segments) > MAX_ALTERNATIVES:
        return None
    return _assemble(name, segments)


def make_sentence(dice: Dice, split: str, *, held_out_pair: bool = False) -> Sentence:
    """The first draft that may stand in the split; ``held_out_pair`` demands an unseen combination."""
    attempt = 0
    while True:
        draft_dice = dice.at(str(attempt))
        attempt += 1
        sentence = _draft(draft_dice)
        if sentence is None or split_of(sentence.words) != split:
            continue
        unseen = any(map(is_held_out_pair, sentence.pairs))
        if unseen != (held_out_pair and split != "train"):
            continue
        return replace(sentence, renderings=_own_first(draft_dice, sentence.renderings))
