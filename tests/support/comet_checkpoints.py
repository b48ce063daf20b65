"""Run by COMET's own interpreter: a tiny random checkpoint of each kind, saved by Lightning as COMET saves them.

Beside each lies what the model gave before it was saved: `expected.json`, the segments and their scores.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import yaml
from comet.models import str2model
from pytorch_lightning import Trainer
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import XLMRobertaConfig, XLMRobertaTokenizerFast

TEXTS = (
    "wir werden morgen die alte Brücke in Berlin besuchen",
    "we will visit the old bridge in Berlin tomorrow",
    "der Mann kauft heute zwei Äpfel und ein Brot",
    "the man buys two apples and a loaf of bread today",
)
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
SHARED = {
    "nr_frozen_epochs": 0.0,
    "layer_norm": False,
    "hidden_sizes": [12],
    "load_pretrained_weights": False,
}
SEGMENTS = (
    {"src": TEXTS[1], "mt": "wir besuchen Berlin", "ref": TEXTS[0]},
    {"src": TEXTS[3], "mt": "", "ref": TEXTS[2]},
    {
        "src": 'two "apples";\nand $(bread) \U0001f34e',
        "mt": "zwei 'Äpfel' | Brot\t&",
        "ref": "zwei Äpfel und Brot",
    },
    {"src": "the man", "mt": "der alte Mann in Berlin kauft morgen zwei Brot", "ref": "der Mann"},
)
KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "reference": ("regression_metric", {"layer": "mix", "pool": "avg"}),
    "referenceless": ("referenceless_regression_metric", {"layer": "mix", "pool": "avg"}),
    "kiwi": (
        "unified_metric",
        {"sent_layer": "mix", "input_segments": ["mt", "src"], "final_activation": "Sigmoid"},
    ),
    "xcomet": (
        "xcomet_metric",
        {"word_layer": 2, "encoder_model": "XLM-RoBERTa", "final_activation": "Sigmoid"},
    ),
}


def write_encoder(directory: Path) -> None:
    """A tokenizer of a few hundred pieces, and the configuration of a two-layer XLM-R."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=list(SPECIAL), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = XLMRobertaTokenizerFast(tokenizer_object=tokenizer, model_max_length=126)
    fast.save_pretrained(directory)
    XLMRobertaConfig(
        vocab_size=len(fast), hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=130, type_vocab_size=1, pad_token_id=fast.pad_token_id, initializer_range=0.7,
    ).save_pretrained(directory)  # fmt: skip


def write_checkpoint(directory: Path, kind: str, encoder: Path) -> None:
    """`hparams.yaml` and `checkpoints/model.ckpt`, the layout of the Hub's COMET repositories."""
    name, changes = KINDS[kind]
    hparams = {**SHARED, **changes, "pretrained_model": str(encoder)}
    torch.manual_seed(7)
    model = str2model[name](**hparams)
    for parameter in model.estimator.parameters():
        parameter.data *= 3  # so that scores differ in their first decimals
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.strategy.connect(model)
    (directory / "checkpoints").mkdir(parents=True)
    trainer.save_checkpoint(directory / "checkpoints" / "model.ckpt")
    hparams = {**model.hparams, "class_identifier": name}
    (directory / "hparams.yaml").write_text(yaml.safe_dump(hparams))
    scores = model.predict(list(SEGMENTS), batch_size=1, gpus=0, progress_bar=False)["scores"]
    (directory / "expected.json").write_text(json.dumps({"segments": SEGMENTS, "scores": scores}))


if __name__ == "__main__":
    root = Path(sys.argv[1])
    write_encoder(root / "encoder")
    for kind in KINDS:
        write_checkpoint(root / kind, kind, root / "encoder")
