"""The doors through which a request reaches Python. The daemon door is added here and nowhere else."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Door:
    """`server_config` is what the main server needs for its applications to be served through this door."""

    name: str
    server_config: str = ""

    def __str__(self):
        return self.name


EMBEDDED = Door("embedded")
DOORS = [EMBEDDED]
