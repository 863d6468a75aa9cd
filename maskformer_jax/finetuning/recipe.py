"""The recipe of a fine-tuning run."""

from dataclasses import replace
from pathlib import Path

from maskformer_jax.config import AugmentConfig, Config, DataConfig, EvalConfig
from maskformer_jax.config.io import load_config
from maskformer_jax.data.detect.found import Found
from maskformer_jax.finetuning.scaling import Scale

_MAPPERS = {"folder": "semantic", "coco_panoptic": "coco_panoptic", "coco_instances": "instance"}
_TASKS = {"folder": "semantic", "coco_panoptic": "panoptic", "coco_instances": "instance"}
_SEMANTIC_JITTER = (0.75, 1.0, 1.25, 1.5, 2.0)  # of the size
_OTHER_JITTER = (0.75, 0.875, 1.0)
_MANY = 10_000  # slots, until their number is known
_SPARE_SLOTS = 1.25  # segments of one image, over the most that was seen
# The recipes to start from without a checkpoint, on accelerators and on CPUs.
_SEMANTIC_BASES = ("ade20k-150/maskformer_R50_bs16_160k", "camvid/maskformer_R50_cpu")
_OTHER_BASES = (
    "coco-panoptic/maskformer_panoptic_R50_bs64_554k",
    "coco-panoptic/maskformer_panoptic_R50_cpu",
)


def default_base(found: Found, *, on_cpu: bool) -> Config:
    """The recipe whose model is trained where no checkpoint says which; without its weights."""
    bases = _SEMANTIC_BASES if found.format == "folder" else _OTHER_BASES
    config = load_config(bases[on_cpu])
    config.train.init_backbone = ""
    return config


def data_section(found: Found, classes: Path) -> DataConfig:
    """The data of a recipe, with nothing chosen that depends on sizes."""
    return DataConfig(
        dataset=str(classes),
        root=str(found.root.absolute()),
        format=found.format,
        mapper=_MAPPERS[found.format],  # type: ignore[arg-type]
        train_split=found.train_split,
        eval_split=found.eval_split,
        images=found.images,
        labels=found.labels,
        label_endings=found.label_endings,
        split_files=found.split_files,
        num_segments=_MANY,
    )


def make_recipe(
    base: Config,
    found: Found,
    scale: Scale,
    *,
    classes: Path,
    most_segments: int,
    checkpoint: str,
    name: str,
) -> Config:
    """Put a recipe together: model, loss and optimizer of a base, the data, and its scale.

    Args:
        base: of the checkpoint, or `default_base`.
        found: the data set.
        scale: sizes, batch and schedule.
        classes: the file with its classes.
        most_segments: in one training image.
        checkpoint: where the weights come from; empty: nowhere.
        name: of the recipe.
    """
    semantic = found.format == "folder"
    jitter = _SEMANTIC_JITTER if semantic else _OTHER_JITTER
    slots = found.info.num_classes if semantic else max(round(_SPARE_SLOTS * most_segments), 8)
    longest = (4 if semantic else 2) * scale.size
    task = _TASKS[found.format]
    data = replace(
        data_section(found, classes),
        num_segments=slots,
        augment=AugmentConfig(
            short_edges=tuple(round(factor * scale.size) for factor in jitter),
            max_size=longest,
            # Only the semantic mapper crops.
            crop_size=(scale.size, scale.long_size) if semantic else AugmentConfig().crop_size,
            color=base.data.augment.color,
        ),
    )
    if not semantic:
        data.augment.crop_kind, data.augment.crop_probability = "absolute_range", 0.0
        data.augment.crop_size = (scale.size, scale.long_size)
    same_task = base.eval.task == task
    evaluation = EvalConfig(
        task=task,  # type: ignore[arg-type]
        short_edge=scale.size,
        max_size=longest,
        resize_before_inference=not semantic,
        object_mask_threshold=base.eval.object_mask_threshold if same_task else 0.5,
        overlap_threshold=base.eval.overlap_threshold,
    )
    train = replace(
        base.train,
        num_steps=scale.num_steps,
        batch_size=scale.batch_size,
        init_checkpoint=checkpoint,
        init_backbone="" if checkpoint else base.train.init_backbone,
        log_every=min(max(scale.num_steps // 50, 1), 50),
        eval_every=scale.every,
        checkpoint_every=scale.every,
        profile_steps=(),
    )
    optim = replace(
        base.optim,
        learning_rate=scale.learning_rate,
        warmup_steps=scale.warmup_steps,
        milestones=scale.milestones,
    )
    return Config(
        name=name,
        model=base.model,
        loss=base.loss,
        data=data,
        optim=optim,
        train=train,
        eval=evaluation,
    )
