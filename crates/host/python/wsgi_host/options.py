"""What the settings say to one interpreter: the process's own, and over them what is for this application group.

Source: `put_layers` (src/front/settings_block.rs) writes them; docs/directives/WSGIInterpreterOptions.md.
"""

from . import log


class Options:
    """The settings of a process, to be asked for each interpreter.

    `has_own_gil`: the interpreter shares its GIL with no other, so that a switch interval can be its own.
    """

    def __init__(self, settings, has_own_gil):
        self._settings = settings
        self._has_own_gil = has_own_gil
        self._layers = [_layer(settings, number) for number in range(int(settings.get("layers", "0")))]

    def depend_on_name(self) -> bool:
        """Whether an interpreter's settings are only known once its application group has a name."""
        return any("application_group" in layer for layer in self._layers)

    def of(self, application_group) -> dict:
        """The settings of an interpreter."""
        merged = dict(self._settings)
        for layer in self._layers_of(application_group):
            said = {name: value for name, value in layer.items() if name not in ("application_group", "python_path")}
            if "switch_interval" in said and "application_group" in layer and not self._has_own_gil:
                del said["switch_interval"]
                _log_skipped_interval(application_group)
            merged.update(said)
        return merged

    def python_paths(self, application_group) -> list:
        """What stands in `sys.path`: each later one before the earlier ones."""
        layers = [self._settings, *self._layers_of(application_group)]
        return [layer["python_path"] for layer in layers if layer.get("python_path")]

    def _layers_of(self, application_group):
        return [layer for layer in self._layers if layer.get("application_group", application_group) == application_group]


def _layer(settings, number):
    prefix = f"layer.{number}."
    return {name.removeprefix(prefix): value for name, value in settings.items() if name.startswith(prefix)}


def _log_skipped_interval(application_group):
    log.write(
        log.WARNING,
        f"WSGI0199: the switch interval for the application group '{application_group}' is left out: its interpreter shares the "
        "GIL with others of the process, for which it would hold too; give it a GIL of its own (WSGIPerInterpreterGIL), or run "
        "it in a process group",
    )
