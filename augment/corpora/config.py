"""Which corpus to read and how it is laid out: the configuration of one corpus."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Layout = Literal["covost2", "iwslt", "jsonl"]


class CorpusConfig(BaseModel):
    """One offline speech-translation corpus: where it lies, its layout, its language pair, its licence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        min_length=1, description="The corpus's name in ids, counts and reports; part of every random choice."
    )
    layout: Layout = Field(
        description="covost2 (TSV and clips/), iwslt (IWSLT and MuST-C: wav/, txt/*.yaml), or jsonl (a manifest)."
    )
    root: str = Field(
        min_length=1,
        description="The corpus's directory on this machine (for jsonl also the manifest file itself).",
    )
    src_lang: str = Field(min_length=2, description="Language code of the speech, such as en or zh-CN.")
    tgt_lang: str = Field(min_length=2, description="Language code of the translation, such as de.")
    train_split: str = Field(default="train", description="The split that is augmented and trained on.")
    dev_split: str = Field(default="dev", description="The split that tuning decisions look at.")
    test_split: str = Field(
        default="test", description="The split that is only ever evaluated; never augmented."
    )
    license: str = Field(
        default="unknown", description="The corpus's licence, such as cc0-1.0; decides what may be published."
    )
    clips_dir: str = Field(
        default="clips",
        description="covost2: the folder of the clips, below root (it may be a symbolic link).",
    )
    manifest: str | None = Field(
        default=None,
        description="jsonl: the manifest below root; '{split}' in it is replaced. Default: {split}.jsonl or "
        "manifest.jsonl.",
    )

    @field_validator(
        "src_lang", "tgt_lang", "train_split", "dev_split", "test_split", "clips_dir", "manifest"
    )
    @classmethod
    def _stays_below_root(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith("/") or ".." in value.split("/") or "\0" in value):
            raise ValueError(
                f"{value!r} becomes part of a path below root: it must not be absolute or contain '..'"
            )
        return value
