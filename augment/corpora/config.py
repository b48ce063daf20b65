"""Which corpus to read and how it is laid out: the configuration of one corpus."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Layout = Literal["covost2", "iwslt", "europarl_st", "fleurs", "fairseq", "parquet", "jsonl"]
HUB_PREFIX = "hf://datasets/"


class ColumnNames(BaseModel):
    """Which Parquet columns hold what; `translation.de` is a field inside a column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audio: str = Field(
        default="audio", min_length=1, description="An Audio column, encoded bytes, or paths below root."
    )
    tgt_text: str = Field(default="tgt_text", min_length=1, description="The translation.")
    src_text: str | None = Field(default=None, min_length=1, description="The transcript.")
    id: str | None = Field(
        default=None, min_length=1, description="Unique ids; null: the audio's file stem, else shard and row."
    )
    speaker: str | None = Field(default=None, min_length=1, description="The speaker.")
    src_lang: str | None = Field(default=None, min_length=1, description="Language of the speech, per row.")
    tgt_lang: str | None = Field(
        default=None, min_length=1, description="Language of the translation, per row."
    )
    license: str | None = Field(default=None, min_length=1, description="The licence, per row.")


class CorpusConfig(BaseModel):
    """One offline speech-translation corpus: where it lies, its layout, its language pair, its licence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        min_length=1, description="The corpus's name in ids, counts and reports; part of every random choice."
    )
    layout: Layout = Field(
        description="covost2 (TSV and clips/), iwslt (IWSLT and MuST-C: wav/, txt/*.yaml), europarl_st, fleurs, "
        "fairseq (S2T TSV), parquet (any dataset with audio, local or on the Hub), or jsonl (a manifest)."
    )
    root: str = Field(
        min_length=1,
        description="The corpus's directory on this machine (for jsonl also the manifest file itself; for parquet "
        "also hf://datasets/NAMESPACE/NAME@REVISION).",
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
        description="jsonl, fairseq: the manifest below root; '{split}' in it is replaced. Default: {split}.jsonl or "
        "manifest.jsonl; {split}_st.tsv, {split}_st_{src}_{tgt}.tsv or {split}.tsv.",
    )
    offset_rate_hz: int = Field(
        default=16_000,
        ge=1,
        description="fairseq: the rate in which talk.wav:offset:n_frames counts frames, in Hz.",
    )
    files: str | None = Field(
        default=None,
        description="parquet: pattern of a split's files below root, such as de/{split}-*.parquet. Default: by name.",
    )
    columns: ColumnNames = Field(default_factory=ColumnNames, description="parquet: which columns hold what.")

    @field_validator(
        "src_lang", "tgt_lang", "train_split", "dev_split", "test_split", "clips_dir", "manifest", "files"
    )
    @classmethod
    def _stays_below_root(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith("/") or ".." in value.split("/") or "\0" in value):
            raise ValueError(
                f"{value!r} becomes part of a path below root: it must not be absolute or contain '..'"
            )
        return value

    @field_validator("files")
    @classmethod
    def _tells_splits_apart(cls, value: str | None) -> str | None:
        if value is not None and "{split}" not in value:
            raise ValueError(
                f"{value!r} would read the same files as every split: put {{split}} where their names differ"
            )
        return value

    @model_validator(mode="after")
    def _only_parquet_lies_on_the_hub(self) -> Self:
        if self.root.startswith(HUB_PREFIX) and self.layout != "parquet":
            raise ValueError(
                f"root {self.root!r} is on the Hub, where layout parquet is read: set layout to parquet, or download it"
            )
        return self
