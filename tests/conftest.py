"""Settings that every test runs under; they must stand before the first import of JAX."""

import os

# Four devices on one CPU, so that sharding is exercised; NPROC enlarges the thread pool, without
# which host callbacks on several CPU devices dead-lock in jax 0.10.
os.environ.setdefault("NPROC", "16")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    ).strip()
