"""What a recipe of the line controller selects, as the settings name it."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from streams.names import fault_of
from streams.settings import Section

Pinned = Annotated[str, Field(max_length=128, pattern=r"^([A-Za-z0-9:_.-]{8,})?$")]
"""A version by its digest, or by the first eight or more characters of it; empty: any."""


class Recipe(Section):
    """One recipe: what parts are judged by, and how the camera stands, while it is in force.

    >>> Recipe.model_validate("tile").product
    'tile'
    """

    product: str
    """Product of every part under this recipe: selects policy and expert."""
    name: Annotated[str, Field(max_length=200)] = ""
    """What the controller and people call the recipe; empty: the product's name."""
    policy: Pinned = ""
    """Policy version that must be in force for the product; empty: the one in force."""
    expert: Pinned = ""
    """Expert version that must be in force for the product; empty: the one in force."""
    camera_features: dict[str, bool | int | float | str] = Field(
        default_factory=dict, max_length=64
    )
    """Features that the camera is given on top of `gateway.camera_features`, in this order."""

    @model_validator(mode="before")
    @classmethod
    def _from_a_name(cls, value: object) -> object:
        """A recipe that is only a product may be written as its name."""
        return {"product": value} if isinstance(value, str) else value

    @field_validator("product")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if fault := fault_of(value):
            raise ValueError(f"the recipe's product {value!r} {fault}")
        return value

    @model_validator(mode="after")
    def _name_is_a_name(self) -> Self:
        if fault := fault_of(self.called):
            raise ValueError(f"the recipe's name {self.name!r} {fault}")
        return self

    @property
    def called(self) -> str:
        """The name by which it is asked for and recorded."""
        return self.name or self.product
