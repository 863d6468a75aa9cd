"""The configuration: typed, nested by component, with the published ResNet-50 values as defaults.

Every field can be set in a config file (`config.optim.learning_rate = 6e-5`) and on the command
line (`--config.optim.learning_rate=6e-5`); `config.io` checks names and types in both places.
"""

from dataclasses import dataclass, field
from typing import Literal

Size = tuple[int, int]  # (height, width) in pixels


@dataclass(slots=True, kw_only=True)
class ResNetConfig:
    """ResNet backbone."""

    type: Literal["resnet"] = "resnet"
    depth: Literal[18, 34, 50, 101] = 50
    width: int = 64  # channels of the stem; all others are multiples of it
    stem: Literal["basic", "deeplab"] = "basic"  # one 7x7 convolution, or three 3x3
    stride_in_1x1: bool = False  # True: the stride sits in the first 1x1 (Caffe/MSRA weights)
    norm: Literal["frozen_batch_norm", "group_norm"] = "frozen_batch_norm"
    res5_dilations: tuple[int, int, int] = (1, 1, 1)  # of the 3x3 in each block (depth 50, 101)
    freeze_at: int = 0  # 1 freezes the stem, 2 also res2, ... 5 the whole backbone


@dataclass(slots=True, kw_only=True)
class SwinConfig:
    """Swin transformer backbone; the defaults are Swin-T."""

    type: Literal["swin"] = "swin"
    embed_dim: int = 96  # width of the first stage; it doubles with each
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    num_heads: tuple[int, int, int, int] = (3, 6, 12, 24)
    window: int = 7  # side, in tokens
    drop_path: float = 0.3  # of the last block; it rises linearly from 0 at the first


@dataclass(slots=True, kw_only=True)
class PixelDecoderConfig:
    """FPN-like decoder from res2..res5 to per-pixel embeddings at stride 4.

    "transformer_fpn" first runs a transformer encoder on res5, whose output the queries attend to;
    the fields from `num_layers` on are the encoder's.
    """

    type: Literal["fpn", "transformer_fpn"] = "fpn"
    conv_dim: int = 256
    mask_dim: int = 256
    num_layers: int = 6
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1
    pre_norm: bool = False


@dataclass(slots=True, kw_only=True)
class TransformerDecoderConfig:
    """N learned queries attending to one feature map."""

    num_queries: int = 100
    num_layers: int = 6  # 0: the heads read the learned queries themselves
    hidden_dim: int = 256
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1
    pre_norm: bool = False
    deep_supervision: bool = True
    share_heads: bool = True  # one pair of heads for all layers; False: each layer its own
    self_attention: bool = True  # among the queries; the paper's table VIII is also without
    enforce_input_proj: bool = False  # project the input even where its width is hidden_dim


@dataclass(slots=True, kw_only=True)
class ModelConfig:
    """The three parts of MaskFormer and what the model does to its input.

    The other heads are the paper's baselines: "per_pixel" classifies pixels with a 1x1 convolution
    in place of the transformer decoder, "per_pixel_plus" keeps the decoder, with one query for
    each class (`num_queries` is not used) and no class predictions.
    """

    head: Literal["mask_classification", "per_pixel", "per_pixel_plus"] = "mask_classification"
    backbone: ResNetConfig | SwinConfig = field(default_factory=ResNetConfig)
    pixel_decoder: PixelDecoderConfig = field(default_factory=PixelDecoderConfig)
    transformer_decoder: TransformerDecoderConfig = field(default_factory=TransformerDecoderConfig)
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)  # RGB, 0..255
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    size_divisibility: int = 32  # images are padded to a multiple of it; 0: not at all
    # float64 is for checking numbers: JAX_ENABLE_X64=1, and parameters and images of that type.
    compute_dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    remat: bool = False  # stages and layers compute their inner values again on the way back


@dataclass(slots=True, kw_only=True)
class LossConfig:
    """Matching and losses (paper section 3.2); the weights serve both."""

    class_weight: float = 1.0
    mask_weight: float = 20.0
    dice_weight: float = 1.0
    no_object_weight: float = 0.1  # of the no-object class in the cross-entropy
    class_cost: float = 1.0
    # The paper's ablations: "boxes" compares boxes of masks, "fixed" gives class c to query c.
    matching: Literal["masks", "boxes", "fixed"] = "masks"
    matcher: Literal["scipy", "jax"] = "scipy"  # exact on the host, or exact in the program
    # Not as published, all off by default:
    ignore_void: bool = False  # costs and losses of masks leave unlabelled pixels out
    ignore_padding: bool = False  # they leave the padding of images out
    num_points: int = (
        0  # points compared of each mask in the losses (12544 is usual); 0: all pixels
    )
    num_cost_points: int = 0  # points of each image compared in matching; 0: all of a quarter size
    by_layer: bool = False  # one decoder layer after the other, which takes less memory
    class_groups: int = 1  # parts of a batch that normalise class losses apart; published: devices


@dataclass(slots=True, kw_only=True)
class AugmentConfig:
    """Augmentation of training images.

    The order is that of the fields, but for the mappers "coco_panoptic" and "instance": there flip
    comes first, then for a part of the images a resize to `pre_crop_short_edges` and a crop (none
    where there are no such edges), then the resize; colours come last.
    """

    short_edges: tuple[int, ...] = (512,)  # one is drawn for each image
    max_size: int = 2048  # bound on the longer side
    crop_kind: Literal["absolute", "absolute_range"] = "absolute"
    crop_size: Size = (512, 512)  # smaller images are padded to it; range: least and largest side
    crop_probability: float = 1.0
    pre_crop_short_edges: tuple[int, ...] = ()  # one is drawn for each image that is cropped
    color: bool = True  # SSD-style brightness, contrast, saturation, hue
    flip: bool = True
    # Sizes (height, width) to which batches of these two mappers are padded, the smallest that
    # fits; none: one for each orientation, as large as images get.
    buckets: tuple[Size, ...] = ()


@dataclass(slots=True, kw_only=True)
class DataConfig:
    """Which data set, where it lies, how it is read."""

    dataset: str = ""  # a name from maskformer_jax/data/metadata
    root: str = ""  # its folder
    # How it is laid out on disk (docs/datasets.md).
    format: Literal[
        "folder",
        "prepared",
        "cityscapes",
        "mapillary",
        "coco_panoptic",
        "coco_instances",
        "penn_fudan",
        "tfds",
    ] = "folder"
    # How annotations become segments: "semantic" and "panoptic" from crops of one size,
    # "coco_panoptic" and "instance" from whole images or crops of varying size.
    mapper: Literal["semantic", "panoptic", "coco_panoptic", "instance"] = "semantic"
    train_split: str = "train"  # also a part of it: "train[:8]", "train[:80%]"
    eval_split: str = "val"
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    num_segments: int = 150  # N, slots for segments of an image
    num_workers: int = 0  # loader processes; 0: threads of this process
    num_threads: int = 2  # reading threads of each process


@dataclass(slots=True, kw_only=True)
class OptimConfig:
    """AdamW with full-model gradient clipping."""

    learning_rate: float = 1e-4
    backbone_multiplier: float = 0.1
    weight_decay: float = 1e-4
    weight_decay_norm: float = 0.0
    weight_decay_embed: float = 0.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    clip_norm: float = 0.01  # of the gradient over all parameters
    schedule: Literal["poly", "multistep"] = "poly"
    poly_power: float = 0.9
    milestones: tuple[int, ...] = ()  # steps at which multistep multiplies by `decay`
    decay: float = 0.1
    warmup_steps: int = 0
    warmup_factor: float = 1.0
    ema_decay: float = 0.0  # above 0: a moving average of the parameters is evaluated and saved
    accumulate_steps: int = 1  # parts of a batch that are gone through one after the other
    skip_nonfinite: int = 0  # updates in a row left out for a non-finite gradient; 0: stop at once


@dataclass(slots=True, kw_only=True)
class MeshConfig:
    """Device mesh. The batch is split over data x fsdp, parameters over fsdp."""

    data: int = -1  # -1: all devices that are left
    fsdp: int = 1


@dataclass(slots=True, kw_only=True)
class DistributedConfig:
    """How the processes of a run find each other; docs/pods.md has the commands.

    "auto" is "address" where a coordinator is known, "cluster" inside of `srun`, `mpirun` or a TPU
    pod of several hosts, and else "off". The last three address fields can also come from the
    variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.
    """

    launch: Literal["auto", "off", "cluster", "address"] = "auto"
    coordinator: str = ""  # HOST:PORT of process 0, a port that is free there
    num_processes: int = 0  # 0: from the environment
    process_id: int = -1  # -1: from the environment
    start_timeout_s: int = 300  # seconds to wait for all processes at the start and at the end
    heartbeat_timeout_s: int = 60  # a process silent for longer is lost, and the others end


@dataclass(slots=True, kw_only=True)
class TrainConfig:
    """Length and bookkeeping of a run. One step is one update on one global batch."""

    num_steps: int = 160_000
    batch_size: int = 16  # global
    seed: int = 0
    init_backbone: str = ""  # ImageNet weights; empty: random
    init_backbone_format: Literal["torchvision", "caffe"] = "torchvision"  # caffe: BGR, no std
    log_every: int = 50
    checkpoint_every: int = 5_000
    eval_every: int = 5_000
    keep_checkpoints: int = 2  # the newest; the best is kept besides
    profile_steps: tuple[int, ...] = ()  # (first, last) to trace with jax.profiler; empty: none


@dataclass(slots=True, kw_only=True)
class TTAConfig:
    """Test-time augmentation: the mean of the scores at several sizes."""

    enabled: bool = False
    short_edges: tuple[int, ...] = ()  # of the image as resized for evaluation
    max_size: int = 4096  # bound on the longer side
    flip: bool = True  # each size also mirrored


@dataclass(slots=True, kw_only=True)
class EvalConfig:
    """Test-time input and inference."""

    # What is predicted and scored; "panoptic" also gives labels and instances of things.
    task: Literal["semantic", "instance", "panoptic"] = "semantic"
    short_edge: int = 512
    max_size: int = 2048
    batch_size: int = 1
    # Inputs are padded to a multiple of it, so that few sizes are compiled; 0: exact sizes.
    size_multiple: int = 0
    # "class_sum": each class collects over all queries (paper section 3.4); "general": each pixel
    # to one query, as in the paper's table VII.
    semantic_rule: Literal["class_sum", "general"] = "class_sum"
    general_threshold: float = 0.3  # general: queries with a lower class score are dropped
    resize_before_inference: bool = False  # class_sum: to output size before sigmoid and sum
    object_mask_threshold: float = 0.8  # panoptic: queries with a lower class score are dropped
    overlap_threshold: float = 0.8  # panoptic: least part of its mask that a segment must win
    max_instances: int = 100  # of an image, for the task "instance" and AP
    tta: TTAConfig = field(default_factory=TTAConfig)


@dataclass(slots=True, kw_only=True)
class Config:
    """A whole recipe: one file under configs/ makes one of these."""

    name: str = ""  # "<dataset>/<model>", filled in from the file's place
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    distributed: DistributedConfig = field(default_factory=DistributedConfig)
