"""What a command's options change of a section of the settings."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from andon.settings_sources import SettingsError, problem_of, to_the_field
from streams.masking import masked
from streams.settings import Section

S = TypeVar("S", bound=Section)


def with_options(section: S, options: Mapping[str, tuple[str, object]]) -> S:
    """A section with what a command's options say.

    Args:
        section: as the settings have it.
        options: the field that each sets, and its value; None: it was not given.

    Raises:
        SettingsError: names the option of each mistake.
    """
    given = {field: value for field, value in options.values() if value is not None}
    try:
        return type(section).model_validate({**section.model_dump(), **given})
    except ValidationError as error:
        names = {field: option for option, (field, _) in options.items()}
        lines = []
        for one in error.errors(include_url=False):
            loc = to_the_field(type(section), tuple(one["loc"]), one["msg"])
            field = str(loc[0]) if loc else ""
            lines.append(f"{names.get(field, field)}: {problem_of(type(section), loc, one)}")
        raise SettingsError(masked("; ".join(lines))) from None
