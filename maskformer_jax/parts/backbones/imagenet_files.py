"""Reading ImageNet files: the steps that all backbones share."""

# Whole models bring their backbone below a name; what stands beside it is skipped.
WRAPPERS = ((r"^(module\.)?(backbone\.)?", ""),)
NOT_BACKBONE = (r"(sem_seg_head|criterion)\..*", r".*\.num_batches_tracked")
