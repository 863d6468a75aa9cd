"""How processes find each other; training/test_topologies.py tests that they do."""

import pytest

from maskformer_jax.config import DistributedConfig
from maskformer_jax.distributed import gather, is_primary, joined, launch_arguments, require_same
from maskformer_jax.errors import UserError

ADDRESS = {
    "JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234",
    "JAX_NUM_PROCESSES": "4",
    "JAX_PROCESS_ID": "3",
}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8"},  # the batch script, not one of its tasks
        {"SLURM_STEP_NUM_TASKS": "1"},
        {"TPU_WORKER_HOSTNAMES": "localhost"},
    ],
)
def test_a_single_process_needs_no_arguments(environment: dict[str, str]) -> None:
    assert launch_arguments(DistributedConfig(), environment) is None


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_STEP_NUM_TASKS": "16"},
        {"OMPI_COMM_WORLD_SIZE": "2"},
        {"TPU_WORKER_HOSTNAMES": "t0,t1,t2,t3"},
    ],
)
def test_a_cluster_is_left_to_jax(environment: dict[str, str]) -> None:
    assert launch_arguments(DistributedConfig(), environment) == {}
    assert launch_arguments(DistributedConfig(launch="off"), environment) is None


def test_addresses_come_from_the_environment_or_the_config() -> None:
    expected = {
        "coordinator_address": "10.0.0.1:1234",
        "num_processes": 4,
        "process_id": 3,
        "cluster_detection_method": "deactivate",
    }
    assert launch_arguments(DistributedConfig(), ADDRESS) == expected
    config = DistributedConfig(coordinator="10.0.0.1:1234", num_processes=4, process_id=3)
    assert launch_arguments(config, {"SLURM_STEP_NUM_TASKS": "2"}) == expected


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"JAX_COORDINATOR_ADDRESS": "10.0.0.1"}, r"is '10\.0\.0\.1', but must be HOST:PORT"),
        ({"JAX_PROCESS_ID": "4"}, r"JAX_PROCESS_ID\) is 4"),
        ({"JAX_NUM_PROCESSES": "many"}, "JAX_NUM_PROCESSES is 'many', but must be a whole number"),
    ],
)
def test_wrong_addresses_are_named(changed: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        launch_arguments(DistributedConfig(), ADDRESS | changed)


def test_a_single_process_exchanges_with_itself() -> None:
    with joined(DistributedConfig(launch="off")):
        assert is_primary()
        assert gather({"a": 2**60}) == [{"a": 2**60}]
        require_same("text", what="config")
