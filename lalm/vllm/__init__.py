"""vLLM as an engine: in this process (`local`) or over HTTP (`remote`, `server`), one fleet of replicas behind both.

Nothing here imports vllm until an engine starts: identities, configurations and the HTTP client need no vLLM.
"""
