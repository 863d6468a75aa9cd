"""The settings that every backbone has."""

from dataclasses import dataclass

from maskformer_jax.parts.part import PartConfig


@dataclass(slots=True, kw_only=True)
class BackboneConfig(PartConfig):
    """Settings of a backbone."""

    def channels(self) -> dict[int, int]:
        """The channels of each feature map by its stride."""
        raise NotImplementedError
