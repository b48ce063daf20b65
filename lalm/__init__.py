"""The model side that augment, train and evaluate share: prompts, families, engines."""
