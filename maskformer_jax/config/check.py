"""Whether a config makes sense: the type and range of each field, and fields that must agree."""

from collections.abc import Iterator

from maskformer_jax.config import AugmentConfig, Config, SwinConfig
from maskformer_jax.config.fields import check_value, walk_fields
from maskformer_jax.errors import UserError

# Ranges by path: (smallest, largest, what to say). Tuples are checked item by item.
_INFINITY = float("inf")
_RANGES: dict[str, tuple[float, float, str]] = {
    "model.backbone.freeze_at": (0, 5, "0..5"),
    "model.backbone.drop_path": (0, 0.999, "at least 0 and below 1"),
    "model.pixel_decoder.dropout": (0, 0.999, "at least 0 and below 1"),
    "model.transformer_decoder.num_layers": (0, _INFINITY, "0 or more"),
    "model.transformer_decoder.dropout": (0, 0.999, "at least 0 and below 1"),
    "model.size_divisibility": (0, _INFINITY, "0 (no padding) or more"),
    "loss.class_weight": (0, _INFINITY, "0 or more"),
    "loss.mask_weight": (0, _INFINITY, "0 or more"),
    "loss.dice_weight": (0, _INFINITY, "0 or more"),
    "loss.no_object_weight": (0, _INFINITY, "0 or more"),
    "loss.class_cost": (0, _INFINITY, "0 or more"),
    "loss.num_points": (0, _INFINITY, "0 (all pixels) or more"),
    "loss.num_cost_points": (0, _INFINITY, "0 (all pixels) or more"),
    "data.augment.crop_probability": (0, 1, "0..1"),
    "data.num_workers": (0, _INFINITY, "0 (threads of this process) or more"),
    "optim.learning_rate": (0, _INFINITY, "0 or more"),
    "optim.backbone_multiplier": (0, _INFINITY, "0 or more"),
    "optim.weight_decay": (0, _INFINITY, "0 or more"),
    "optim.weight_decay_norm": (0, _INFINITY, "0 or more"),
    "optim.weight_decay_embed": (0, _INFINITY, "0 or more"),
    "optim.b1": (0, 0.999999, "at least 0 and below 1"),
    "optim.b2": (0, 0.999999, "at least 0 and below 1"),
    "optim.warmup_steps": (0, _INFINITY, "0 (no warm-up) or more"),
    "optim.warmup_factor": (0, 1, "0..1"),
    "optim.ema_decay": (0, 0.999999, "0 (no average) or more, and below 1"),
    "optim.skip_nonfinite": (0, _INFINITY, "0 (stop at the first) or more"),
    "eval.size_multiple": (0, _INFINITY, "0 (exact sizes) or more"),
    "eval.general_threshold": (0, 1, "0..1"),
    "distributed.num_processes": (0, _INFINITY, "0 (from the environment) or more"),
    "distributed.process_id": (-1, _INFINITY, "-1 (from the environment) or more"),
    "eval.object_mask_threshold": (0, 1, "0..1"),
    "eval.overlap_threshold": (0, 1, "0..1"),
}
_POSITIVE = (
    "model.backbone.width",
    "model.backbone.res5_dilations",
    "model.backbone.embed_dim",
    "model.backbone.depths",
    "model.backbone.num_heads",
    "model.backbone.window",
    "model.pixel_decoder.conv_dim",
    "model.pixel_decoder.mask_dim",
    "model.pixel_decoder.num_layers",
    "model.pixel_decoder.num_heads",
    "model.pixel_decoder.ffn_dim",
    "model.transformer_decoder.num_queries",
    "model.transformer_decoder.hidden_dim",
    "model.transformer_decoder.num_heads",
    "model.transformer_decoder.ffn_dim",
    "model.pixel_std",
    "data.augment.short_edges",
    "data.augment.max_size",
    "data.augment.crop_size",
    "data.augment.pre_crop_short_edges",
    "data.num_segments",
    "loss.class_groups",
    "data.num_threads",
    "optim.eps",
    "optim.clip_norm",
    "optim.accumulate_steps",
    "optim.poly_power",
    "optim.milestones",
    "optim.decay",
    "mesh.fsdp",
    "train.num_steps",
    "train.batch_size",
    "train.log_every",
    "train.checkpoint_every",
    "train.eval_every",
    "train.keep_checkpoints",
    "train.profile_steps",
    "distributed.start_timeout_s",
    "distributed.heartbeat_timeout_s",
    "eval.short_edge",
    "eval.max_size",
    "eval.batch_size",
    "eval.max_instances",
    "eval.tta.short_edges",
    "eval.tta.max_size",
)
# The mappers whose images vary in size, so that batches are padded to one of a few sizes.
VARYING_MAPPERS = ("coco_panoptic", "instance")


def check_config(config: Config) -> None:
    """Checks every field's type, then the values.

    Raises:
        UserError: lists all that is wrong at once.
    """
    problems = list(_type_problems(config)) or list(_value_problems(config))
    if len(problems) == 1:
        raise UserError(problems[0])
    if problems:
        raise UserError("the config has several errors:\n  " + "\n  ".join(problems))


def _type_problems(config: Config) -> Iterator[str]:
    for field in walk_fields(config):
        try:
            check_value(field.value, field.hint, path=field.path)
        except UserError as error:
            yield str(error)


def _value_problems(config: Config) -> Iterator[str]:
    for field in walk_fields(config):
        items = field.value if isinstance(field.value, tuple) else (field.value,)
        if field.path in _POSITIVE and not all(item > 0 for item in items):
            yield f"config.{field.path} must be above 0, not {field.value!r}"
        if field.path in _RANGES:
            low, high, words = _RANGES[field.path]
            if not all(low <= item <= high for item in items):
                yield f"config.{field.path} must be {words}, not {field.value!r}"
    yield from _model_problems(config)
    yield from _augment_problems(config)
    yield from _run_problems(config)
    yield from _eval_problems(config)


def _model_problems(config: Config) -> Iterator[str]:
    backbone = config.model.backbone
    if isinstance(backbone, SwinConfig) and min(backbone.num_heads) > 0:
        widths = [backbone.embed_dim * 2**stage for stage in range(4)]
        if any(width % heads for width, heads in zip(widths, backbone.num_heads, strict=True)):
            yield (
                f"config.model.backbone.num_heads {backbone.num_heads!r} must divide the widths "
                f"of the stages, {tuple(widths)!r}"
            )
    pixel_decoder = config.model.pixel_decoder
    has_heads = pixel_decoder.type == "transformer_fpn" and pixel_decoder.num_heads > 0
    if has_heads and pixel_decoder.conv_dim % pixel_decoder.num_heads:
        yield (
            f"config.model.pixel_decoder.conv_dim ({pixel_decoder.conv_dim}) must be a "
            f"multiple of num_heads ({pixel_decoder.num_heads})"
        )
    if config.eval.semantic_rule == "general" and config.model.head != "mask_classification":
        yield (
            "config.eval.semantic_rule 'general' needs the classes of queries, which config.model."
            f"head {config.model.head!r} does not predict; use 'class_sum'"
        )
    decoder = config.model.transformer_decoder
    if decoder.num_heads > 0 and decoder.hidden_dim % decoder.num_heads:
        yield (
            f"config.model.transformer_decoder.hidden_dim ({decoder.hidden_dim}) must be a "
            f"multiple of num_heads ({decoder.num_heads})"
        )


def _augment_problems(config: Config) -> Iterator[str]:
    augment, where = config.data.augment, "config.data.augment"
    if not augment.short_edges:
        yield f"{where}.short_edges must hold at least one size"
    if augment.crop_kind == "absolute_range" and augment.crop_size[0] > augment.crop_size[1]:
        yield (
            f"{where}.crop_size must be (least, largest) side where crop_kind is absolute_range, "
            f"not {augment.crop_size!r}"
        )
    if config.data.mapper in VARYING_MAPPERS:
        yield from _bucket_problems(augment)
        return
    usual = AugmentConfig()
    for name in ("crop_kind", "crop_probability", "pre_crop_short_edges", "buckets"):
        if getattr(augment, name) != getattr(usual, name):
            yield (
                f"{where}.{name} must be {getattr(usual, name)!r} where config.data.mapper is "
                f"{config.data.mapper!r}, not {getattr(augment, name)!r}"
            )


def _bucket_problems(augment: AugmentConfig) -> Iterator[str]:
    long = augment.max_size
    short = min(max(augment.short_edges, default=0), long)
    for height, width in ((short, long), (long, short)):
        fits = any(bucket[0] >= height and bucket[1] >= width for bucket in augment.buckets)
        if augment.buckets and not fits:
            yield (
                f"config.data.augment.buckets must hold one of at least {height} x {width} (height "
                f"x width), for the largest images of the recipe; they are {augment.buckets!r}"
            )


def _run_problems(config: Config) -> Iterator[str]:
    train, mesh, optim = config.train, config.mesh, config.optim
    if not config.data.dataset:
        yield "config.data.dataset must name a data set, such as ade20k-150"
    if mesh.data != -1 and mesh.data < 1:
        yield f"config.mesh.data must be -1 (all devices that are left) or above 0, not {mesh.data}"
    elif mesh.fsdp > 0:
        parts = max(mesh.data, 1) * mesh.fsdp
        if train.batch_size % parts:
            yield (
                f"config.train.batch_size ({train.batch_size}) must be a multiple of the devices "
                f"that share a batch (config.mesh.data x config.mesh.fsdp = {parts})"
            )
    if config.loss.class_groups > 0 and train.batch_size % config.loss.class_groups:
        yield (
            f"config.loss.class_groups ({config.loss.class_groups}) must divide "
            f"config.train.batch_size ({train.batch_size})"
        )
    if optim.accumulate_steps > 0 and train.batch_size % optim.accumulate_steps:
        yield (
            f"config.optim.accumulate_steps ({optim.accumulate_steps}) must divide "
            f"config.train.batch_size ({train.batch_size})"
        )
    if config.loss.matching == "fixed" and config.data.mapper != "semantic":
        yield (
            "config.loss.matching 'fixed' gives each class one query, so it needs config.data."
            f"mapper 'semantic', not {config.data.mapper!r}"
        )
    profiled = train.profile_steps
    if profiled and (len(profiled) != 2 or profiled[0] > profiled[1]):
        yield f"config.train.profile_steps must be empty or (first, last), not {profiled!r}"
    if optim.warmup_steps >= train.num_steps > 0:
        yield (
            f"config.optim.warmup_steps ({optim.warmup_steps}) must be below "
            f"config.train.num_steps ({train.num_steps})"
        )
    if list(optim.milestones) != sorted(set(optim.milestones)):
        yield f"config.optim.milestones must rise, not {optim.milestones!r}"


def _eval_problems(config: Config) -> Iterator[str]:
    settings = config.eval
    if settings.task != "semantic" and config.model.head != "mask_classification":
        yield (
            f"config.eval.task must be 'semantic' where config.model.head is "
            f"{config.model.head!r}, not {settings.task!r}"
        )
    if settings.tta.enabled and settings.task != "semantic":
        yield (
            "config.eval.tta.enabled must be False where config.eval.task is "
            f"{settings.task!r}: only semantic segmentation is augmented"
        )
    if settings.tta.enabled and settings.semantic_rule != "class_sum":
        yield (
            "config.eval.tta.enabled must be False where config.eval.semantic_rule is "
            f"{settings.semantic_rule!r}: only class sums have a mean"
        )
    if settings.tta.enabled and not settings.tta.short_edges:
        yield "config.eval.tta.short_edges must hold at least one size"
