"""Every rule, draft and truncation law against the known truth of the toy corpus: the table of docs/results.md.

    python benchmarks/rules_against_truth.py --utterances 500 --split dev

Over: words said that the kept audio does not support. Under: supported words left out. Both are means per cut, the
best over all valid translations. "Accepted" is the accepted share of the draft. Nothing here is trained or tuned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from cyclopts import App
from numpy.typing import NDArray

from augment.corpora import open_corpus
from augment.partial import PartialConfig, partial_targets
from augment.schema import PartialTarget, Rejection, TruncatedUtterance, Utterance
from augment.truncate import TruncateConfig, truncate
from demo.corpus import build_corpus
from demo.truth import Truth, load_truth
from flows.config import load_config
from flows.demo_inputs import resolve_model
from lalm.encodings import AudioEncodings
from lalm.engine import Engine
from lalm.loading import load_model
from lalm.prompts import Prompt, build_prompt
from lalm.recorded import RecordedEngine
from lalm.transformers_engine import TransformersEngine

app = App(help=__doc__)
Cut = tuple[TruncatedUtterance, NDArray[np.float32]]

SETTINGS = (
    ("generate", None),
    ("greedy", None),
    ("threshold", 0.5),
    ("threshold", 0.7),
    ("threshold", 0.9),
    ("ratio", 0.3),
    ("ratio", 0.5),
    ("ratio", 0.8),
    ("contrast", 1.0),
    ("contrast", 2.0),
    ("stochastic", None),
)


class MemoryJournal:
    """Records shared by all settings, so that each prefill is computed once."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, object]] = {}

    def get(self, key: str) -> dict[str, object] | None:
        return self._records.get(key)

    def put(self, key: str, record: dict[str, object]) -> None:
        self._records[key] = record

    def flush(self) -> None:
        """Nothing to keep."""


def cuts_of(spoken: Sequence[tuple[Utterance, NDArray[np.float32]]], of: str, seed: int) -> list[Cut]:
    """One cut per utterance under the Beta(1, 3) law of the kept or the removed share."""
    config = TruncateConfig.model_validate({"of": of})
    made = [(truncate(utterance, wave, config, seed), wave) for utterance, wave in spoken]
    return [(cut, wave) for cut, wave in made if not isinstance(cut, Rejection)]


def row(
    cuts: Sequence[Cut], truth: dict[str, Truth], engine: Engine, prompt: Prompt, tokenizer: object,
    config: PartialConfig,
) -> tuple[float, ...]:  # fmt: skip
    """(over, under, exact %, empty %, accepted %, words, gold words) of one setting."""
    results = partial_targets(
        cuts, engine=engine, prompt=prompt, tokenizer=tokenizer, config=config, seed=7, tgt_lang="de"
    )
    targets = {result.id: result for result in results if isinstance(result, PartialTarget)}
    if len(targets) != len(cuts):
        raise SystemExit(
            f"{len(cuts) - len(targets)} of {len(cuts)} cuts were rejected; the table would mislead"
        )
    scores = [truth[cut.utterance.id].score_prefix(targets[cut.id].text, cut.kept_samples) for cut, _ in cuts]
    drafts = [len(t.token_ids) / len(t.draft_ids) for t in targets.values() if t.draft_ids]
    return (
        fmean(s.over for s in scores), fmean(s.under for s in scores), 100 * fmean(s.exact for s in scores),
        100 * fmean(not t.text for t in targets.values()), 100 * fmean(drafts),
        fmean(len(t.text.split()) for t in targets.values()), fmean(s.gold_words for s in scores),
    )  # fmt: skip


def table(
    spoken: Sequence[tuple[Utterance, NDArray[np.float32]]], truth: dict[str, Truth], engine: Engine, prompt: Prompt,
    tokenizer: object,
) -> Iterator[str]:  # fmt: skip
    """The Markdown table, a line at a time."""
    yield "| of | draft | rule | τ | over | under | exact % | empty % | accepted % | words | gold words |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for of in ("kept", "removed"):
        cuts = cuts_of(spoken, of, seed=7)
        for draft in ("self", "reference"):
            for rule, threshold in SETTINGS:
                if rule == "generate" and draft == "reference":
                    continue  # it has no draft
                config = PartialConfig.model_validate({"draft": draft, "rule": rule, "threshold": threshold})
                numbers = row(cuts, truth, engine, prompt, tokenizer, config)
                shown = " | ".join(
                    f"{n:.2f}" if i in (0, 1, 5, 6) else f"{n:.0f}" for i, n in enumerate(numbers)
                )
                name = "–" if rule == "generate" else draft
                yield f"| {of} | {name} | {rule} | {threshold or '–'} | {shown} |"


@app.default
def main(
    *,
    utterances: int = 500,
    split: str = "dev",
    config: str = "demo",
    corpus: Path = Path("outputs/rules-corpus"),
) -> None:
    """Print the table for the first `utterances` of a split of the toy corpus."""
    run = resolve_model(load_config(config))
    build_corpus(corpus, num_train=50, num_dev=utterances, num_test=utterances, progress=False)
    read = open_corpus(run.corpus.model_copy(update={"root": str(corpus)}), split)
    chosen = [entry for entry in read if isinstance(entry, Utterance)][:utterances]
    loaded = load_model(run.model)
    engine = RecordedEngine(
        TransformersEngine(loaded, batch_size=32, encodings=AudioEncodings()), MemoryJournal()
    )
    prompt = build_prompt(loaded, run.model, "en", "de")
    print(f"{len(chosen)} utterances of the {split} split, model {loaded.info.digest[:12]}\n")
    spoken = [(utterance, read.load_audio(utterance)) for utterance in chosen]
    for line in table(spoken, load_truth(corpus), engine, prompt, loaded.tokenizer):
        print(line, flush=True)


if __name__ == "__main__":
    app()
