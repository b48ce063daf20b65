"""One process of a fine-tuning over several: started by torchrun as `python -m train.worker TRAINING.json`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from accelerate import Accelerator

from augment.atomic import write_bytes
from augment.corpora import open_corpus
from augment.schema import Rejection
from lalm.encodings import AudioEncodings
from lalm.errors import SimulsaError
from lalm.loading import choose_device, load_model
from lalm.prompts import Prompt
from train.finetune import finetune
from train.launch import FAILURE_NAME, Training
from train.ranks import Ranks


def main(spec: Path) -> int:
    """Take part in the training that `spec` describes; what its user can mend is left beside it as a sentence."""
    training = Training.model_validate_json(spec.read_bytes())
    accelerator = Accelerator(
        cpu=choose_device(training.model.device).type == "cpu", mixed_precision="no"
    )  # the steps choose their own precision
    try:
        with tempfile.TemporaryDirectory(prefix="simulsa-rank-") as elsewhere:
            ranks = Ranks(accelerator)
            _train(training, ranks, training.out_dir if ranks.is_first else Path(elsewhere))
            accelerator.wait_for_everyone()
    except SimulsaError as error:
        write_bytes(spec.with_name(FAILURE_NAME), json.dumps({"message": str(error)}).encode())
        return 1
    accelerator.end_training()
    return 0


def _train(training: Training, ranks: Ranks, out_dir: Path) -> None:
    corpus = open_corpus(training.corpus, training.split)
    finetune(
        load_model(training.model),
        [entry for entry in corpus if not isinstance(entry, Rejection)],
        corpus.load_audio,
        Prompt(ids=training.prompt_ids, stop_ids=training.stop_ids),
        training.dataset_dir,
        training.config,
        out_dir,
        encodings=AudioEncodings(),
        seed=training.seed,
        checkpoints=training.checkpoints,
        progress=_announce if ranks.is_first else None,
        ranks=ranks,
    )


def _announce(step: int, steps: int) -> None:
    print(json.dumps({"step": step, "steps": steps}), flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
