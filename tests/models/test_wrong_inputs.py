"""What people hand to the public functions by mistake is named.

In a process of its own: the type checks of the tests would come first.
"""

import subprocess
import sys
from pathlib import Path

CODE = r"""
import re
import jax, jax.numpy as jnp, numpy as np
import maskformer_jax as mf
from maskformer_jax.config import *

config = load = mf.load_config("shapes/maskformer_R18")
config.model.backbone.width = 8
config.model.backbone.norm = "frozen_batch_norm"
config.model.pixel_decoder.conv_dim = config.model.pixel_decoder.mask_dim = 32
decoder = config.model.transformer_decoder
decoder.num_queries, decoder.num_layers, decoder.hidden_dim, decoder.ffn_dim = 5, 1, 32, 32
decoder.dropout = 0.1
model = mf.build_model(config.model, num_classes=3)
key = jax.random.key(0)
shapes = jax.eval_shape(model.init, key, jnp.zeros((1, 32, 32, 3), jnp.uint8))
zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

def run(images, **options):
    return jax.eval_shape(lambda v: model.apply(v, images, **options), zeros)

def expect(message, call):
    try:
        call()
    except (ValueError, mf.UserError) as error:
        assert re.search(message, str(error)), str(error)
    else:
        raise AssertionError(f"accepted: {message}")

image = np.zeros((1, 32, 32, 3), np.uint8)
run(image)
run(image.astype(np.float32) + 255)
run(np.zeros((1, 32, 32, 3), np.float32))
expect(r"should be in 0\.\.255, but are in 0\.\.1", lambda: run(np.eye(32 * 3, dtype=np.float32)
       .reshape(1, -1, 32, 3)[:, :32]))
expect(r"\[B, H, W, 3\].*\[32, 32, 3\]; add an axis", lambda: run(image[0]))
expect(r"\[1, 32, 32, 1\]; repeat grey", lambda: run(image[..., :1]))
expect(r"\[1, 3, 32, 32\]; channels come last", lambda: run(image.transpose(0, 3, 1, 2)))
expect(r"are int32", lambda: run(image.astype(np.int32)))
expect(r"image_valid should have .*\[1, 32, 32\], but has \[1, 16, 32\]",
       lambda: run(image, image_valid=np.ones((1, 16, 32), bool)))
expect(r'rngs=\{"dropout": key\}', lambda: run(image, train=True))
run(image, train=True, rngs={"dropout": key})
expect(r"num_classes is 0, but must be at least 1",
       lambda: mf.create_model("shapes/maskformer_R18", num_classes=0))

sizes = dict(padded_size=(32, 32), image_size=(32, 32), output_size=(32, 32))
logits, masks = jnp.zeros((5, 4)), jnp.zeros((5, 8, 8))
expect(r"\[1, 5, 4\] and \[1, 5, 8, 8\]; take predictions",
       lambda: mf.semantic_inference(logits[None], masks[None], **sizes))
expect(r"\[5, 4\] and \[4, 8, 8\]", lambda: mf.semantic_inference(logits, masks[:4], **sizes))
for inference in (mf.panoptic_inference, mf.instance_inference):
    expect(r"each of the 3 classes .*\[4\]",
           lambda: inference(logits, masks, np.ones(4, bool), **sizes))
from maskformer_jax.visualize.labels import overlay
expect(r"image is \[480, 480\].* label map \[240, 480\]; resize",
       lambda: overlay(np.zeros((480, 480, 3), np.uint8), np.zeros((240, 480), int), ()))
print("all refused")
"""


def test_mistakes_are_named() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=root, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "all refused", done.stderr
