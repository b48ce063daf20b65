"""English names of languages by their codes, for prompts: CoVoST 2, MuST-C, FLEURS and common neighbours."""

from __future__ import annotations

CHARACTER_LANGUAGES = frozenset({"zh", "yue", "ja", "th"})

LANGUAGE_NAMES: dict[str, str] = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "ca": "Catalan",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mn": "Mongolian",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "yue": "Cantonese",
    "zh": "Chinese",
}


def base_language(code: str) -> str:
    """The language of a code without its region or script: `zh-CN` and `zh_Hans` are `zh`."""
    return code.replace("_", "-").split("-")[0].lower()


def language_name(code: str) -> str:
    """The English name of a language code; an unknown code names itself."""
    return LANGUAGE_NAMES.get(base_language(code), code)


def is_character_language(lang: str) -> bool:
    """Whether units of this language are characters: Chinese, Cantonese, Japanese and Thai."""
    return base_language(lang) in CHARACTER_LANGUAGES
