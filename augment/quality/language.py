"""How probably a text is in a language, by the library lingua: optional, loaded when first asked, and once.

A detector tells apart only the languages it was built of, so these are few: lingua's models are large, and every
further language makes short texts harder to tell. It is weak on very short texts whatever it is told.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from lalm.errors import SimulsaError

if TYPE_CHECKING:
    from lingua import Language, LanguageDetector

DISTRIBUTION = "lingua-language-detector"

_LINGUA_CODES = {"no": "nb"}
"""Where lingua knows a language under another code than corpora do."""


class LanguageError(SimulsaError):
    """A language to tell from that lingua does not know."""


def lingua_version() -> str | None:
    """The installed version; None where the optional library is absent."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return None


def language_libraries(identify_language: bool) -> dict[str, str]:
    """What shapes qc.lid_prob besides the configuration: part of a stage's key, so that installing it is a miss."""
    return {DISTRIBUTION: lingua_version() or "absent"} if identify_language else {}


def language_probability(
    text: str, lang: str, rivals: tuple[str, ...], *, also: str | None = None
) -> float | None:
    """The probability in [0, 1] that `text` is in `lang` and not in a rival; codes such as `de` or `zh-CN`.

    `also` is one more rival, passed over where lingua does not know it. None where lingua is absent, does not know
    `lang`, or the text has no letter. Raises LanguageError for an unknown rival.
    """
    if lingua_version() is None or not any(map(str.isalpha, text)):
        return None
    language = _language(lang)
    if language is None:
        return None
    codes = {_code(lang), *map(_known, rivals)}
    if also is not None and _language(also) is not None:
        codes.add(_code(also))
    detector = _detector(tuple(sorted(codes)))
    return round(detector.compute_language_confidence(text, language), 4)


def _known(rival: str) -> str:
    if _language(rival) is None:
        raise LanguageError(
            f"quality.language_rivals names {rival!r}, which lingua does not know: use ISO 639-1 codes such as en"
        )
    return _code(rival)


def _code(lang: str) -> str:
    primary = lang.replace("_", "-").split("-")[0].lower()
    return _LINGUA_CODES.get(primary, primary)


@lru_cache(maxsize=256)
def _language(lang: str) -> Language | None:
    from lingua import IsoCode639_1, Language

    try:
        return Language.from_iso_code_639_1(IsoCode639_1.from_str(_code(lang).upper()))
    except ValueError:
        return None


@lru_cache(maxsize=16)
def _detector(codes: tuple[str, ...]) -> LanguageDetector:
    from lingua import LanguageDetectorBuilder

    languages = [language for code in codes if (language := _language(code)) is not None]
    return LanguageDetectorBuilder.from_languages(*languages).build()
