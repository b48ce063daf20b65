"""Rebuild the micro LALM from nothing: ``python -m demo.build``, about an hour on two CPU cores.

Work is resumable: prepared shards, encoder states and checkpoints lie in the work directory.
"""

import os
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

from demo.architecture import make_model, make_processor, make_tokenizer, save, text_of_language
from demo.card import Provenance, recorded_sha256, weights_sha256, write_card
from demo.corpus import Spec
from demo.decoder import DECODER_SCHEDULE, train_decoder
from demo.encoder import ENCODER_SCHEDULE, train_encoder
from demo.model import MAX_BYTES, MAX_PARAMETERS, MODEL_DIR
from demo.prepare import prepare
from demo.score import OfflineScore, score_offline

SEED = 7
NUM_TRAIN, NUM_DEV, NUM_TEST = 20000, 300, 400
NUM_QUICK = 100

app = App(help="Build or check the micro LALM.")


def _specs(split: str, count: int) -> list[Spec]:
    return [Spec(split=split, index=index, seed=SEED) for index in range(count)]


def _count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _stored_score(directory: Path) -> OfflineScore:
    """The test score of the weights as they are stored: half precision, loaded in fp32."""
    model = Qwen2AudioForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
    return score_offline(model, AutoProcessor.from_pretrained(directory), _specs("test", NUM_TEST))


def build_model(out: Path, work: Path, *, workers: int = 2) -> OfflineScore:
    """Prepare, train both stages, store after every checkpoint, score on the test split, write the card."""
    train, digest = prepare(_specs("train", NUM_TRAIN), work / "prepared", workers=workers)
    dev, _ = prepare(_specs("dev", NUM_DEV), work / "prepared", workers=workers)
    processor = make_processor(make_tokenizer(text_of_language()))
    model = make_model(processor, seed=SEED)
    frame_accuracy = train_encoder(model, train, dev, work)

    def store(step: int) -> None:
        save(model, processor, out)
        quick = score_offline(model, processor, _specs("dev", NUM_QUICK))
        print(f"decoder {step} dev BLEU {quick.bleu:.1f} valid {quick.valid_share:.2f}", flush=True)

    train_decoder(model, processor, train, work, store)
    save(model, processor, out)
    provenance = Provenance(
        training_digest=digest,
        num_parameters=_count(model),
        num_train=NUM_TRAIN,
        seed=SEED,
        encoder_steps=ENCODER_SCHEDULE.num_steps,
        encoder_batch=ENCODER_SCHEDULE.batch_size,
        decoder_steps=DECODER_SCHEDULE.num_steps,
        decoder_batch=DECODER_SCHEDULE.batch_size,
        frame_accuracy=frame_accuracy,
    )
    score = _stored_score(out)
    write_card(out, provenance, score)
    return score


def check_model(out: Path) -> OfflineScore:
    """Fail unless size, parameter count and hash are as promised; return the test score."""
    size = (out / "model.safetensors").stat().st_size
    found, recorded = weights_sha256(out), recorded_sha256(out)
    if found != recorded:
        raise SystemExit(
            f"{out}: weights hash {found}, the card records {recorded}; rebuild or restore one of them"
        )
    if size > MAX_BYTES:
        raise SystemExit(f"{out}: weights take {size} bytes, the limit is {MAX_BYTES}")
    model = Qwen2AudioForConditionalGeneration.from_pretrained(out, dtype=torch.float32)
    if _count(model) > MAX_PARAMETERS:
        raise SystemExit(f"{out}: {_count(model)} parameters, the limit is {MAX_PARAMETERS}")
    return _stored_score(out)


def _show(out: Path, score: OfflineScore) -> None:
    table = Table("utterances", "BLEU, all valid", "BLEU, corpus's own", "valid translations", "weights")
    cells = (
        f"{score.bleu:.1f}",
        f"{score.own_bleu:.1f}",
        f"{score.valid_share:.1%}",
        weights_sha256(out)[:12],
    )
    table.add_row(str(score.num_utterances), *cells)
    Console().print(table)


@app.default
def main(
    *,
    out: Path = MODEL_DIR,
    work: Path = Path("outputs/demo-build"),
    check: Annotated[bool, Parameter(negative="")] = False,
    workers: int = 2,
) -> None:
    """Build the micro LALM, or check the one that is there.

    Parameters
    ----------
    out
        Where the model directory is written.
    work
        Prepared features and checkpoints; delete it to start over.
    check
        Only verify hash, size and test score of the model at ``out``.
    workers
        Processes that synthesise speech, and threads that train.
    """
    torch.set_num_threads(min(workers, os.cpu_count() or 1))
    _show(out, check_model(out) if check else build_model(out, work, workers=workers))


if __name__ == "__main__":
    app()
