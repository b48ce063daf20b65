"""English speech from espeak-ng with the sample at which each word ends.

espeak-ng keeps the phase of its flutter between calls and offers no reset, so each utterance gets a freshly
loaded library (3 ms): what is spoken never depends on what was spoken before. The library is process-global
and not thread-safe. This module does not know the grammar; it speaks whatever words it is given.
"""

import _ctypes
import ctypes
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import espeakng_loader
import numpy as np
import numpy.typing as npt
import soxr

from demo.dice import Dice

SAMPLE_RATE_HZ = 16_000
MAX_SPEECH_SAMPLES = int(7.3 * SAMPLE_RATE_HZ)
ACCENTS = ("en-us", "en-us", "en", "en-gb-x-rp", "en-gb-scotland")
VARIANTS = ("", "+f1", "+f4", "+m1", "+m3", "+m4", "+m7")  # the breathy ones (f2, f3) are not reproducible

_SYNCHRONOUS, _PHONEME_EVENTS, _UTF8 = 2, 1, 1
_RATE, _PITCH = 1, 3
_END_OF_LIST, _WORD, _PHONEME = 0, 1, 7


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback: Any = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """Spoken words: 16-bit PCM at 16 kHz and the end of each word in its samples."""

    pcm: npt.NDArray[np.int16]
    word_ends_sample: tuple[int, ...]


class Speaker:
    """espeak-ng freshly loaded; ``say`` returns PCM at the library's own rate and word ends in it."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        data = str(espeakng_loader.get_data_path()).encode()
        self.sample_rate_hz = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS))
        if self.sample_rate_hz <= 0:
            raise RuntimeError(
                f"espeak-ng: cannot start with data at {data.decode()}; reinstall espeakng-loader"
            )
        self._blocks: list[npt.NDArray[np.int16]] = []
        self._events: list[tuple[int, int, int, bytes]] = []
        self._callback = _Callback(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def close(self) -> None:
        """Unload the library, which forgets its state."""
        self._library.espeak_Terminate()
        unload: Any = getattr(_ctypes, "dlclose", None) or getattr(_ctypes, "FreeLibrary", None)
        unload(self._library._handle)

    def _collect(self, wave: Any, num_samples: int, events: Any) -> int:
        if wave and num_samples:
            self._blocks.append(np.ctypeslib.as_array(wave, shape=(num_samples,)).copy())
        i = 0
        while events[i].type != _END_OF_LIST:
            event = events[i]
            self._events.append((event.type, event.text_position, event.sample, event.id.string))
            i += 1
        return 0

    def say(
        self, words: tuple[str, ...], commas: tuple[int, ...], voice: str, rate_wpm: int, pitch: int
    ) -> tuple[npt.NDArray[np.int16], list[int]]:
        """Speak with a pause before each word that ``commas`` names."""
        self._blocks, self._events = [], []
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng: no voice {voice!r}; see its data directory for the known ones")
        self._library.espeak_SetParameter(_RATE, rate_wpm, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        parts = [word + ("," if i + 1 in commas else "") for i, word in enumerate(words)]
        text = " ".join(parts).encode()
        self._library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8, None, None)
        pcm = np.concatenate(self._blocks)
        return pcm, self._word_ends(parts, len(pcm))

    def _word_ends(self, parts: list[str], num_samples: int) -> list[int]:
        """A word ends where the next begins or a pause does; merged words share their span by letters."""
        offsets = [0, *accumulate(len(part) + 1 for part in parts)]
        starts: dict[int, int] = {}
        for kind, position, sample, _ in self._events:
            if kind == _WORD:
                starts.setdefault(bisect_right(offsets, position - 1) - 1, sample)
        pauses = [s for kind, _, s, name in self._events if kind == _PHONEME and name.startswith(b"_:")]
        ends: list[int] = []
        heads = sorted(starts)
        for head, following in zip(heads, [*heads[1:], len(parts)], strict=True):
            start, stop = starts[head], starts.get(following, num_samples)
            stop = min([stop, *(p for p in pauses if p > start)])
            letters = list(accumulate(len(part) for part in parts[head:following]))
            ends += [start + (stop - start) * n // letters[-1] for n in letters]
        return ends


@contextmanager
def fresh_speaker() -> Iterator[Speaker]:
    """A speaker without a past."""
    speaker = Speaker()
    try:
        yield speaker
    finally:
        speaker.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What espeak-ng said, at its own rate."""

    pcm: npt.NDArray[np.int16]
    word_ends_sample: list[int]
    sample_rate_hz: int


def _spoken(dice: Dice, words: tuple[str, ...], commas: tuple[int, ...]) -> _Source:
    """Voice, rate and pitch are functions of the utterance; a too long one is spoken faster."""
    voice = dice.pick("accent", ACCENTS) + dice.pick("variant", VARIANTS)
    rate, pitch = round(dice.between("rate", 138, 182)), round(dice.between("pitch", 35, 65))
    while True:
        with fresh_speaker() as speaker:
            pcm, ends = speaker.say(words, commas, voice, rate, pitch)
        if len(pcm) * SAMPLE_RATE_HZ <= MAX_SPEECH_SAMPLES * speaker.sample_rate_hz:
            return _Source(pcm=pcm, word_ends_sample=ends, sample_rate_hz=speaker.sample_rate_hz)
        rate += 20


def speak(dice: Dice, words: tuple[str, ...], commas: tuple[int, ...]) -> Speech:
    """Speak the words with silence around them and noise 18 to 38 dB below the voice, at most 7.9 s."""
    source = _spoken(dice, words, commas)
    if len(source.word_ends_sample) != len(words):
        raise RuntimeError(f"espeak-ng: {source.word_ends_sample} are not the ends of {' '.join(words)!r}")
    voice = soxr.resample(source.pcm.astype(np.float32) / 32768, source.sample_rate_hz, SAMPLE_RATE_HZ)
    lead = round(dice.between("lead", 0.10, 0.30) * SAMPLE_RATE_HZ)
    trail = round(dice.between("trail", 0.10, 0.30) * SAMPLE_RATE_HZ)
    level = dice.between("level", 0.012, 0.030) / float(np.sqrt(np.mean(voice**2)) + 1e-9)
    clean = np.pad(voice * level, (lead, trail))
    noise_level = float(np.sqrt(np.mean(clean**2))) * 10 ** (-dice.between("snr", 18, 38) / 20)
    generator = np.random.Generator(np.random.Philox(int(dice.unit("noise") * 2**56)))
    noisy = clean + noise_level * generator.standard_normal(len(clean), dtype=np.float32)
    pcm = np.clip(np.round(noisy * 32768), -32768, 32767).astype(np.int16)
    scale = SAMPLE_RATE_HZ / source.sample_rate_hz
    return Speech(pcm=pcm, word_ends_sample=tuple(lead + round(e * scale) for e in source.word_ends_sample))
