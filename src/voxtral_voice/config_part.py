"""What every group of settings is made of.

Knows: pydantic. Does not know: any setting.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A group of settings: one table of the file, one prefix of the environment and of the flags."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of what was set to another value than the default, in the order of the fields."""
        fields = type(self).model_fields
        return tuple(name for name, field in fields.items() if getattr(self, name) != field.default)
