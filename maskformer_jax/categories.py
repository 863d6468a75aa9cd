"""What a data set's classes are called and look like."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One class of a data set."""

    name: str
    color: tuple[int, int, int]  # RGB, 0..255
    is_thing: bool = False  # countable (things) or amorphous (stuff)
    category_id: int = -1  # the data set's own id; the label is the position in the list


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """Everything about a data set that code downstream may ask for."""

    name: str
    categories: tuple[Category, ...]  # in label order 0..K-1
    ignore_label: int | None  # the value of void pixels in label maps; None where there is none
    label_maps: Literal["category_id", "label"] = "category_id"  # what the other pixels hold

    @property
    def num_classes(self) -> int:
        """K, the number of classes without no-object."""
        return len(self.categories)

    @property
    def stored_values(self) -> tuple[int, ...]:
        """What label maps hold for each label 0..K-1."""
        if self.label_maps == "label":
            return tuple(range(self.num_classes))
        return tuple(category.category_id for category in self.categories)
