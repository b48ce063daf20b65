"""The Hugging Face Hub: datasets and adapters go there whole, in one commit, and come back verified.

`dataset` and `adapter` say what is published, `publication` how; `fetch` reads a dataset back.
"""
