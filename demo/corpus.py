"""The spoken toy corpus in the layout of CoVoST 2, with the truth beside it.

An utterance is a function of the seed, its split and its index, so corpora of different sizes share
their utterances. A corpus is complete when its ``corpus.json`` exists; that file is written last.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import blake2b, sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import soundfile
from rich.progress import track

from demo.dice import Dice
from demo.grammar import make_sentence
from demo.speech import SAMPLE_RATE_HZ, Speech, speak
from demo.truth import TRUTH_FILE, Alternative, Truth, truth_to_json
from demo.workers import parallel_map

CORPUS_VERSION = 1
SPLITS = ("train", "dev", "test")
HELD_OUT_PAIR_EVERY = 4
TSV_HEADER = "path\tsentence\ttranslation\tclient_id\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """Which utterance: everything about it follows from these three."""

    split: str
    index: int
    seed: int

    @property
    def id(self) -> str:
        return f"{self.split}-{self.index:06d}"

    @property
    def client_id(self) -> str:
        """A speaker name; the voice is the utterance's own, so this is only a plausible column."""
        return blake2b(self.id.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a corpus depends on."""

    num_train: int
    num_dev: int
    num_test: int
    seed: int
    version: int = CORPUS_VERSION

    def specs(self) -> Iterator[Spec]:
        for split, count in zip(SPLITS, (self.num_train, self.num_dev, self.num_test), strict=True):
            for index in range(count):
                yield Spec(split=split, index=index, seed=self.seed)

    def digest(self) -> str:
        """Identity of the corpus: its parameters and the versions of the libraries that shape its bytes."""
        libraries = {name: version(name) for name in ("espeakng-loader", "soxr", "soundfile")}
        canonical = json.dumps({"parameters": asdict(self), "libraries": libraries}, sort_keys=True)
        return sha256(canonical.encode()).hexdigest()


def make_utterance(spec: Spec) -> tuple[Truth, Speech]:
    """Compose and speak one utterance; every fourth one of dev and test has an unseen combination."""
    dice = Dice(f"{spec.seed}/{spec.id}")
    unseen = spec.split != "train" and spec.index % HELD_OUT_PAIR_EVERY == 0
    sentence = make_sentence(dice.at("text"), spec.split, held_out_pair=unseen)
    speech = speak(dice.at("speech"), sentence.words, sentence.commas)
    translations = tuple(Alternative(words=r.words, needs=r.needs) for r in sentence.renderings)
    truth = Truth(
        id=spec.id,
        split=spec.split,
        pattern=sentence.pattern,
        num_samples=len(speech.pcm),
        word_ends_sample=speech.word_ends_sample,
        source_words=sentence.words,
        translations=translations,
    )
    return truth, speech


def flac_bytes(speech: Speech) -> bytes:
    """16-bit mono FLAC at 16 kHz."""
    buffer = BytesIO()
    soundfile.write(buffer, speech.pcm, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClipWriter:
    """Writes one clip; a value object so that worker processes can receive it."""

    clips: Path

    def __call__(self, spec: Spec) -> tuple[Spec, str, str, str]:
        truth, speech = make_utterance(spec)
        (self.clips / f"{spec.id}.flac").write_bytes(flac_bytes(speech))
        return spec, " ".join(truth.source_words), truth.references[0], truth_to_json(truth)


def _write_tables(root: Path, rows: Iterable[tuple[Spec, str, str, str]]) -> None:
    tables = {split: (root / f"covost_v2.en_de.{split}.tsv").open("w", encoding="utf-8") for split in SPLITS}
    with (root / TRUTH_FILE).open("w", encoding="utf-8") as truths:
        for table in tables.values():
            table.write(TSV_HEADER)
        for spec, sentence, translation, truth in rows:
            tables[spec.split].write(f"{spec.id}.flac\t{sentence}\t{translation}\t{spec.client_id}\n")
            truths.write(truth + "\n")
    for table in tables.values():
        table.close()


def _write(root: Path, parameters: Parameters, *, workers: int, progress: bool) -> None:
    (root / "clips").mkdir(parents=True)
    specs = list(parameters.specs())
    rows = parallel_map(_ClipWriter(clips=root / "clips"), specs, workers=workers, chunk_size=32)
    _write_tables(root, track(rows, "speaking", total=len(specs), disable=not progress))
    manifest = {**asdict(parameters), "digest": parameters.digest()}
    (root / "corpus.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def is_complete(root: Path, parameters: Parameters) -> bool:
    """Whether exactly this corpus stands at the root."""
    manifest = root / "corpus.json"
    if not manifest.exists():
        return False
    return bool(json.loads(manifest.read_text(encoding="utf-8")).get("digest") == parameters.digest())


def build_corpus(
    root: Path,
    *,
    num_train: int = 20000,
    num_dev: int = 300,
    num_test: int = 400,
    seed: int = 7,
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Write the corpus at the root unless it stands there already; a different one there is replaced."""
    parameters = Parameters(num_train=num_train, num_dev=num_dev, num_test=num_test, seed=seed)
    if is_complete(root, parameters):
        return root
    _remove_abandoned(root)
    attempt = root.with_name(f"{root.name}.{os.getpid()}.partial")
    try:
        _write(attempt, parameters, workers=workers, progress=progress)
        _replace(root, attempt)
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    return root


def _remove_abandoned(root: Path) -> None:
    """Delete the attempts of processes that were killed; one that still runs keeps its own."""
    for attempt in root.parent.glob(f"{root.name}.*.partial"):
        pid = attempt.name.split(".")[-2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc").exists():
            shutil.rmtree(attempt, ignore_errors=True)


def _replace(root: Path, attempt: Path) -> None:
    """Put the finished attempt in place; refuses to delete a directory that is not a toy corpus."""
    if root.exists():
        if any(root.iterdir()) and not (root / "corpus.json").exists():
            raise FileExistsError(f"{root}: is not empty and holds no corpus.json; choose another directory")
        shutil.rmtree(root)
    attempt.rename(root)
