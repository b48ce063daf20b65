"""A byte-level tokenizer whose tokens are written by hand, half characters included."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

SPECIAL = "<|im_end|>"


def pieces_tokenizer(pieces: Sequence[str | bytes]) -> PreTrainedTokenizerFast:
    """Token id `n` is `pieces[n]`; the id after the last is a special token. It decodes, it never encodes."""
    vocabulary = {_symbols(piece): id for id, piece in enumerate(pieces)} | {SPECIAL: len(pieces)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL))
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SPECIAL)


def _symbols(piece: str | bytes) -> str:
    raw = piece.encode() if isinstance(piece, str) else piece
    return "".join(map(_SYMBOL_OF_BYTE.__getitem__, raw))


def _byte_symbols() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(hidden)}


_SYMBOL_OF_BYTE = _byte_symbols()
