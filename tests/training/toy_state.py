"""Saves or checks a train state without a model, on any number of devices and processes.

python tests/training/toy_state.py save WORKDIR STEP FSDP
python tests/training/toy_state.py check WORKDIR STEP FSDP
"""

import sys
from pathlib import Path

import jax
import numpy as np
from jax import numpy as jnp

from maskformer_jax.config import Config, DistributedConfig, MeshConfig
from maskformer_jax.distributed import gather, joined
from maskformer_jax.training.checkpoint import Checkpoints
from maskformer_jax.training.mesh import make_mesh, state_shardings
from maskformer_jax.training.state import TrainState


def toy_state(step: int) -> TrainState:
    """One array large enough to be split, one too small, one that does not divide."""
    rng = np.random.default_rng(step)
    params = {
        "large": rng.normal(size=(192, 96)).astype(np.float32),
        "small": rng.normal(size=(8,)).astype(np.float32),
        "odd": rng.normal(size=(131, 129)).astype(np.float32),
    }
    moments = {name: value**2 for name, value in params.items()}
    return TrainState(jnp.int32(step), params, {"mean": np.ones(3, np.float32)}, (moments,))


def placed(state: TrainState, fsdp: int) -> TrainState:
    """The state spread over all devices of all processes."""
    mesh = make_mesh(MeshConfig(fsdp=fsdp), batch_size=jax.device_count())

    def make() -> TrainState:
        return jax.tree.map(jnp.asarray, state)

    return jax.jit(make, out_shardings=state_shardings(jax.eval_shape(make), mesh))()


def main(action: str, workdir: Path, step: int, fsdp: int) -> None:
    """Saves `toy_state(step)`, or compares the newest checkpoint with it bit by bit."""
    with joined(DistributedConfig()), Checkpoints(workdir, keep=2) as checkpoints:
        state = placed(toy_state(step), fsdp)
        large = state.params["large"]
        assert large.addressable_shards[0].data.shape == (192 // fsdp, 96)
        if action == "save":
            checkpoints.save(state, Config(), {"mIoU": 1.0})
            return
        template = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state
        )
        restored = checkpoints.restore(template)
        assert restored is not None
        for left, right in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
            assert left.sharding == right.sharding
            for mine, wanted in zip(left.addressable_shards, right.addressable_shards, strict=True):
                np.testing.assert_array_equal(mine.data, wanted.data)
        if jax.process_count() > 1:
            assert gather((jax.process_index(), 2**40)) == [(0, 2**40), (1, 2**40)]
        print(f"same on {jax.device_count()} devices", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
