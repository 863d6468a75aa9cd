"""Devices to compile for, described rather than present."""

import os
import re
from typing import Any, NamedTuple

from jax.experimental import topologies

from maskformer_jax.errors import UserError
from maskformer_jax.planning.chips import CHIPS, H100_TARGET, TPU_ARRANGEMENT, Chip

# Without these libtpu asks the cloud which TPU this machine has, and only one process may load it.
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


class Topology(NamedTuple):
    """Devices that programs can be lowered and compiled for, but not run on."""

    name: str
    chip: Chip
    devices: list[Any]


def describe_topology(name: str) -> Topology:
    """The devices of a topology such as "v5e:4x4" or "h100:8".

    Args:
        name: a chip of `CHIPS`, and how many there are: the sides of a TPU slice, or the number of
            GPUs of one host.

    Raises:
        UserError: there is no such chip or slice, or its compiler is not installed.
    """
    chip_name, _, arrangement = name.partition(":")
    sides = r"\d+" if chip_name == "h100" else r"\d+(x\d+){1,2}"
    if chip_name not in CHIPS or not re.fullmatch(sides, arrangement):
        raise UserError(
            f"the topology is {name!r}, but must be a chip ({', '.join(CHIPS)}) and how many of "
            "them, such as v5e:4x4, v5p:2x2x4 or h100:8"
        )
    chip = CHIPS[chip_name]
    if chip_name == "h100":
        return Topology(name, chip, _gpus(name, int(arrangement)))
    return Topology(name, chip, _tpus(name))


def _tpus(name: str) -> list[Any]:
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    chip, _, sides = name.partition(":")
    options: dict[str, Any] = {}
    if chip in TPU_ARRANGEMENT:
        options["chip_config_name"] = TPU_ARRANGEMENT[chip]
    if set(sides.split("x")) == {"1"}:
        options["chips_per_host_bounds"] = [1, 1, 1]  # else a host has four
    try:
        return list(topologies.get_topology_desc(name, "tpu", **options).devices)
    except Exception as error:  # JAX raises many kinds, RuntimeError among them
        raise _refusal(name, "plan-tpu", "libtpu", error) from error


def _gpus(name: str, count: int) -> list[Any]:
    try:
        description = topologies.get_topology_desc(
            name.partition(":")[0], "cuda", target_config=H100_TARGET, topology=f"1x1x{count}"
        )
        return list(description.devices)
    except Exception as error:
        raise _refusal(name, "plan-gpu", "JAX's CUDA plugin", error) from error


def _refusal(name: str, extra: str, package: str, error: Exception) -> UserError:
    reason = str(error).strip().splitlines()
    return UserError(
        f"there is no compiler for {name}: it needs {package} "
        f"(pip install 'maskformer-jax[{extra}]') and a topology that it knows; it says: "
        f"{reason[0] if reason else type(error).__name__}"
    )
