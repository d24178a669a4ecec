"""`script-user` and `script-group`: whose a script has to be, asked of the file that the process has opened.

httpd looks by name before it passes a request on (src/front/daemon/owner.rs, whose words these are); what the name
stands for can have become another file until it is read here.
"""

import os
import stat

from .script_module import Refused


def of(settings):
    """What the process's group asks for, or None. Source: docs/directives/WSGIDaemonProcess.md."""
    if "script_user" in settings:
        return Owner("WSGI0162", "user", "st_uid", int(settings["script_user"]), settings["process_group"])
    if "script_group" in settings:
        return Owner("WSGI0153", "group", "st_gid", int(settings["script_group"]), settings["process_group"])
    return None


class Owner:
    """Who must own a script and its directory, so that nobody else can have put it there."""

    def __init__(self, code, kind, field, number, process_group):
        """`kind` is "user" or "group", `field` where os.stat() has its number."""
        self._code = code
        self._kind = kind
        self._field = field
        self._number = number
        self._process_group = process_group

    def opened(self, path):
        """The script's file, open for reading, if it and its directory are as they have to be.

        The file is opened in the directory that is looked at, and nothing is asked by name. Raises OSError and Refused.
        """
        directory, name = os.path.split(path)
        # Whoever may open files in a directory need not be allowed to list it.
        place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            file = open(path, "rb", opener=lambda _, flags: os.open(name, flags, dir_fd=place))
            try:
                self._check(path, os.fstat(file.fileno()))
                self._check(directory, os.fstat(place))
            except BaseException:
                file.close()
                raise
            return file
        finally:
            os.close(place)

    def _check(self, path, found):
        fault = self._fault(found)
        if fault is not None:
            text = f"script is not to be run by daemon process '{self._process_group}': '{path}' {fault}"
            raise Refused(self._code, text)

    def _fault(self, found):
        owner = getattr(found, self._field)
        if owner != self._number:
            return f"belongs to {self._kind} {owner} and not to script-{self._kind} {self._number}"
        if self._kind == "user" and found.st_mode & stat.S_IWGRP:
            return "can be written by its group"
        return "can be written by everybody" if found.st_mode & stat.S_IWOTH else None
