"""A step around a model that compiles in a second, for tests of the step itself."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from maskformer_jax.config import Config, MeshConfig
from maskformer_jax.training.mesh import abstract_arrays, make_mesh, put_batch, state_shardings
from maskformer_jax.training.optimizer import make_optimizer
from maskformer_jax.training.state import TrainState, create_train_state
from maskformer_jax.training.step import make_train_step
from maskformer_jax.types import Batch, Predictions

NUM_CLASSES, QUERIES, SLOTS, SIZE = 3, 6, 4, 32


class ToyModel(nn.Module):
    """Two layers of predictions from one convolution; class logits from the mean colour.

    Its parameters have paths that the optimizer's table of groups knows.
    """

    num_classes: int = NUM_CLASSES

    @nn.compact
    def __call__(
        self, images: Any, image_valid: Any = None, *, train: bool = False, extent: Any = None
    ) -> Predictions:
        del image_valid, train, extent
        x = jnp.asarray(images, jnp.float32) / 255 - 0.5
        features = nn.Conv(8, (4, 4), strides=(4, 4), name="predictor")(x)
        return ToyDecoder(self.num_classes, name="transformer_decoder")(features)


class ToyDecoder(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, features: Any) -> Predictions:
        queries = self.param("query_embed", nn.initializers.normal(1.0), (2, QUERIES, 8))
        masks = jnp.einsum("lqc,bhwc->lbqhw", queries, features)
        tokens = queries[:, None] * features.mean((1, 2))[None, :, None]
        return Predictions(nn.Dense(self.num_classes + 1, name="class_embed")(tokens), masks)


def draw_batch(images: int = 4, *, seed: int = 0) -> Batch:
    """Noise with an uneven number of segments; the second image has none."""
    random = np.random.default_rng(seed)
    counts = np.array([3, 0, 2, 4, 1, 4, 2, 3])[:images]
    shape = (images, SIZE // 8, SIZE // 8)
    blocks = random.integers(-1, 4, shape) % (counts[:, None, None] + 1) - 1
    return Batch(
        image=random.integers(0, 256, (images, SIZE, SIZE, 3)).astype(np.uint8),
        image_valid=np.ones((images, SIZE, SIZE), bool),
        segment_map=blocks.repeat(8, 1).repeat(8, 2).astype(np.int16),
        labels=random.integers(0, NUM_CLASSES, (images, SLOTS)).astype(np.int32),
        segment_valid=np.arange(SLOTS)[None] < counts[:, None],
    )


class Toy:
    """The compiled step of a config, its first state and a batch of four."""

    def __init__(
        self, config: Config, *, batch: Batch | None = None, model: nn.Module | None = None
    ) -> None:
        config.train.batch_size = 4 if batch is None else len(batch.image)
        config.model.size_divisibility = 0
        config.model.transformer_decoder.num_queries = QUERIES
        self.mesh = make_mesh(
            MeshConfig(data=max(config.mesh.data, 1)), batch_size=config.train.batch_size
        )
        self.batch = put_batch(draw_batch() if batch is None else batch, self.mesh)
        model = model or ToyModel()
        variables = model.init(jax.random.key(0), self.batch.image)
        optimizer = make_optimizer(config, variables["params"])

        def fresh() -> TrainState:
            return create_train_state(variables, optimizer, with_average=config.optim.ema_decay > 0)

        abstract = jax.eval_shape(fresh)
        shardings = state_shardings(abstract, self.mesh)
        self.fresh: Callable[[], TrainState] = jax.jit(fresh, out_shardings=shardings)
        self.template: TrainState = abstract_arrays(abstract, shardings)
        self.step = make_train_step(
            model,
            optimizer,
            config,
            num_classes=NUM_CLASSES,
            mesh=self.mesh,
            shardings=shardings,
        )
