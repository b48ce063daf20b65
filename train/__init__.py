"""LoRA fine-tuning of a LALM on offline data plus the augmented share."""
