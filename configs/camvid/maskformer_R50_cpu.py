"""MaskFormer with ResNet-50 on CamVid at half resolution: a recipe for two CPU cores.

    python train.py --config=configs/camvid/maskformer_R50_cpu.py --workdir=runs/camvid_cpu

Against maskformer_R50.py: 192 x 256 crops, four images a step, half as wide a pixel decoder, three
decoder layers, thirty queries, and an ImageNet stem and res2 that stay as they are.

Cost: about half an hour on two cores.
Expected: docs/results.md.
"""

from pathlib import Path

from maskformer_jax.config import Config, EvalConfig
from maskformer_jax.config.io import load_config


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = load_config(Path(__file__).with_name("maskformer_R50.py"))
    config.model.backbone.freeze_at = 2
    config.model.pixel_decoder.conv_dim = 128
    config.model.pixel_decoder.mask_dim = 128
    decoder = config.model.transformer_decoder
    decoder.num_queries = 30
    decoder.num_layers = 3
    decoder.ffn_dim = 1024
    decoder.dropout = 0.0
    config.data.augment.short_edges = (180, 216, 252, 288)
    config.data.augment.crop_size = (192, 256)
    config.optim.learning_rate = 4e-4
    config.optim.backbone_multiplier = 0.25
    config.optim.warmup_steps = 50
    config.optim.warmup_factor = 0.1
    config.train.num_steps = 1_400
    config.train.batch_size = 4
    config.train.log_every = 20
    config.train.checkpoint_every = 350
    config.train.eval_every = 350
    config.eval = EvalConfig(short_edge=216, max_size=288, batch_size=1)
    return config
