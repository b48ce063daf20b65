"""Verb groups: English tense and negation, and the German finite verb, tail and verb-final cluster."""

from dataclasses import dataclass

from demo.lexicon import GermanVerb, Verb
from demo.particles import Fixed
from demo.phrases import Agreement, Token, Tokens, Word, keyed

_COLUMN = {"first": 0, "third": 1, "plural": 2}
_HABEN = ("habe", "hat", "haben")
_SEIN = ("bin", "ist", "sind")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbForm:
    """One German rendering: second-position verb, what closes the clause, and the cluster of a verb-final one."""

    finite: Token
    tail: Tokens
    cluster: Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbGroup:
    """The English verb with its auxiliaries; ``fronted`` counts the words a question puts before the subject."""

    words: tuple[Word, ...]
    forms: tuple[VerbForm, ...]
    negated: bool = False
    fronted: int = 0

    @property
    def negation(self) -> Tokens:
        """``nicht`` may be said as soon as ``not`` is heard (word order usually makes it wait)."""
        keys = [word.key for word in self.words if word.text == "not"]
        return tuple(Token("nicht", key) for key in keys)


def modal_group(prefix: str, modal: Fixed, verb: Verb, agreement: Agreement, negated: bool) -> VerbGroup:
    """``will not visit`` -> ``wird … nicht … besuchen``."""
    first = modal.english[0]
    if first == "want" and agreement == "third":
        first = "wants"
    spoken = (first, *modal.english[1:])
    texts = (*spoken, *(("not",) if negated else ()), verb.base)
    words = keyed(prefix, texts)
    finite = Token(modal.german[0].split()[_COLUMN[agreement]], words[len(spoken) - 1].key)
    forms = []
    for german in verb.german:
        infinitive = Token(german.prefix + german.infinitive, words[-1].key)
        forms.append(VerbForm(finite=finite, tail=(infinitive,), cluster=(infinitive, finite)))
    return VerbGroup(words=words, forms=tuple(forms), negated=negated, fronted=len(spoken))


def _auxiliary(german: GermanVerb, agreement: Agreement) -> str:
    return (_SEIN if german.auxiliary == "sein" else _HABEN)[_COLUMN[agreement]]


def perfect_group(prefix: str, verb: Verb, agreement: Agreement, negated: bool) -> VerbGroup:
    """``has bought`` -> ``hat … gekauft``; the auxiliary waits for the verb if that decides haben or sein."""
    has = "has" if agreement == "third" else "have"
    words = keyed(prefix, (has, *(("not",) if negated else ()), verb.participle))
    return _perfect(words, verb, agreement, negated, fronted=1)


def past_group(prefix: str, verb: Verb, agreement: Agreement, negated: bool) -> VerbGroup:
    """``bought`` or ``did not buy`` -> ``hat … gekauft``."""
    words = keyed(prefix, ("did", "not", verb.base) if negated else (verb.past,))
    return _perfect(words, verb, agreement, negated, fronted=0)


def _perfect(
    words: tuple[Word, ...], verb: Verb, agreement: Agreement, negated: bool, fronted: int
) -> VerbGroup:
    forms = []
    for german in verb.german:
        finite = Token(_auxiliary(german, agreement), words[-1].key)
        participle = Token(german.participle, words[-1].key)
        forms.append(VerbForm(finite=finite, tail=(participle,), cluster=(participle, finite)))
    return VerbGroup(words=words, forms=tuple(forms), negated=negated, fronted=fronted)


def present_text(german: GermanVerb, agreement: Agreement) -> str:
    """The present tense without its separable prefix."""
    if agreement == "third":
        return german.present
    if agreement == "plural":
        return german.infinitive
    return "weiß" if german.infinitive == "wissen" else german.infinitive[:-1]


def present_group(prefix: str, verb: Verb, agreement: Agreement, negated: bool) -> VerbGroup:
    """``calls`` -> ``ruft … an``, verb-final ``anruft``."""
    plain = verb.third if agreement == "third" else verb.base
    does = "does" if agreement == "third" else "do"
    words = keyed(prefix, (does, "not", verb.base) if negated else (plain,))
    forms = []
    for german in verb.german:
        text, key = present_text(german, agreement), words[-1].key
        tail = (Token(german.prefix, key),) if german.prefix else ()
        forms.append(
            VerbForm(finite=Token(text, key), tail=tail, cluster=(Token(german.prefix + text, key),))
        )
    return VerbGroup(words=words, forms=tuple(forms), negated=negated)


def to_infinitive(verb: Verb, key: str) -> tuple[Tokens, ...]:
    """``to open`` -> ``zu öffnen`` or ``aufzumachen``, one rendering for each synonym."""
    return tuple(
        (Token(f"{german.prefix}zu{german.infinitive}", key),)
        if german.prefix
        else (Token("zu", key), Token(german.infinitive, key))
        for german in verb.german
    )
