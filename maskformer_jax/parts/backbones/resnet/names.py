"""ResNet under the names of detectron2, which the published checkpoints use."""

from maskformer_jax.tensor_rules.rules import CONV, VECTOR, Rule

PUBLISHED_RULES = (
    Rule(r"stem/conv(\d)/conv/kernel", r"stem.conv\1.weight", CONV),
    Rule(r"stem/conv(\d)/norm/(\w+)", r"stem.conv\1.norm.\2", VECTOR),
    Rule(r"res(\d)_(\d+)/(conv\d|shortcut)/conv/kernel", r"res\1.\2.\3.weight", CONV),
    Rule(r"res(\d)_(\d+)/(conv\d|shortcut)/norm/(\w+)", r"res\1.\2.\3.norm.\4", VECTOR),
)
