"""Which engine runs the model; only its kind and quantization are part of a dataset's identity."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The adapter ranks vLLM has kernels for."""


class EngineConfig(BaseModel):
    """What runs the model, how many requests at once, and for vLLM where it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["transformers", "vllm", "vllm-server"] = Field(
        default="transformers",
        description="transformers: in this process, the reference. vllm: in this process, continuous batching. "
        "vllm-server: over HTTP; without urls a server is started for the run and stopped after it.",
    )
    batch_size: int = Field(
        default=16, ge=1, description="transformers: requests per forward pass; never changes fp32 texts."
    )
    urls: tuple[str, ...] = Field(
        default=(), description="vllm-server: base URLs of running replicas; none of them is ever stopped."
    )
    max_in_flight: int = Field(
        default=64, ge=1, description="vllm kinds: requests that one replica works on at once (max_num_seqs)."
    )
    replicas: int = Field(
        default=1, ge=1, description="vllm-server without urls: servers to start, each on a GPU of its own."
    )
    api_key_variable: str = Field(
        default="VLLM_API_KEY",
        pattern=r"^[A-Za-z_]\w*$",
        description="Environment variable that holds the servers' API key; the key itself is never stored.",
    )
    startup_timeout_s: float = Field(
        default=1200, gt=0, description="How long a server may take to load the model."
    )
    request_timeout_s: float = Field(
        default=600, gt=0, description="A request without an answer for so long counts as lost."
    )
    patience_s: float = Field(
        default=900, gt=0, description="Give up when no replica has been healthy for so long."
    )
    quantization: str | None = Field(
        default=None, description="vLLM's name of a quantization, e.g. fp8; changes results."
    )
    max_lora_rank: int = Field(default=64, description=f"vLLM: largest adapter rank, one of {LORA_RANKS}.")
    max_model_len: int | None = Field(
        default=None, ge=64, description="vLLM: positions per request; null takes the model's own limit."
    )
    gpu_memory_utilization: float = Field(
        default=0.9, gt=0, le=1, description="vLLM: share of the GPU's memory it may take."
    )
    tensor_parallel_size: int = Field(default=1, ge=1, description="vLLM: GPUs that share one model.")
    enforce_eager: bool = Field(
        default=False, description="vLLM: no CUDA graphs; starts faster, runs slower. Always so on CPU."
    )
    cpu_kv_cache_gib: int = Field(default=1, ge=1, description="vLLM on CPU: GiB for its cache.")

    @field_validator("urls")
    @classmethod
    def _base_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"a base URL begins with http:// or https://, got {url!r}")
            if "@" in url:
                raise ValueError("a URL must not hold credentials: put the key into api_key_variable")
        return tuple(url.rstrip("/").removesuffix("/v1") for url in urls)

    @field_validator("max_lora_rank")
    @classmethod
    def _a_rank_with_kernels(cls, rank: int) -> int:
        if rank not in LORA_RANKS:
            raise ValueError(f"vLLM knows the ranks {LORA_RANKS}, got {rank}: take the next larger one")
        return rank

    @model_validator(mode="after")
    def _urls_are_for_servers(self) -> Self:
        if self.urls and self.kind != "vllm-server":
            raise ValueError(f"urls are only used by kind vllm-server, not {self.kind!r}: set engine.kind")
        return self
