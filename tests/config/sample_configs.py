"""Small configs, and a config as a flat table."""

from maskformer_jax.config import Config, SwinConfig
from maskformer_jax.config.fields import walk_fields


def valid_config() -> Config:
    config = Config()
    config.data.dataset = "camvid"
    return config


def swin_config() -> Config:
    config = valid_config()
    config.model.backbone = SwinConfig(window=12)
    return config


def values(config: Config) -> dict[str, object]:
    return {field.path: field.value for field in walk_fields(config)}
