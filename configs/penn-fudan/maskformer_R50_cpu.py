"""MaskFormer with ResNet-50 on the Penn-Fudan pedestrians, panoptic: for two CPU cores.

    python train.py --config=configs/penn-fudan/maskformer_R50_cpu.py --workdir=runs/penn_fudan_cpu

Every pedestrian is a thing, all the rest one piece of stuff. The model is that of
coco-panoptic/maskformer_panoptic_R50_cpu.py with twenty queries. Data and weights are looked for in
the folder `shared` beside the repository; for another place set --config.data.root and
--config.train.init_backbone.
"""

from maskformer_jax.config import Config
from maskformer_jax.config.io import load_config


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = load_config("coco-panoptic/maskformer_panoptic_R50_cpu")
    config.model.transformer_decoder.num_queries = 20
    config.data.dataset = "penn-fudan"
    config.data.root = "../shared/data/penn_fudan"
    config.data.format = "penn_fudan"
    config.data.train_split = "train"
    config.data.eval_split = "val"
    config.data.num_segments = 10
    config.data.augment.buckets = ()
    config.optim.milestones = (500,)
    config.train.num_steps = 600
    config.train.eval_every = 200
    config.train.checkpoint_every = 200
    config.eval.object_mask_threshold = 0.5
    return config
