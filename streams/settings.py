"""The base of every group of settings, wherever the code that reads it lives."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings; an unknown name is an error, not a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
