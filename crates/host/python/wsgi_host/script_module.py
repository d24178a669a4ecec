"""Makes a module of a script file: read, compile, run.

Neither reads nor writes a .pyc file, and does not touch `sys.path`.

Source: PEP 263 for the encoding of the file; module name and globals as mod_wsgi 6.1.1 makes them.
"""

import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType


def name(path, case_sensitive=True):
    """The name under which a script is found in `sys.modules`: the same in every process."""
    import hashlib

    if not case_sensitive:
        path = path.lower()
    return "_mod_wsgi_" + hashlib.md5(os.fsencode(path), usedforsecurity=False).hexdigest()


class Refused(Exception):
    """The file is not to be run; `code` is that of the log line."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def opened(path):
    """The file, open for reading. Raises OSError."""
    return open(path, "rb")


def compiled(path, opened=opened):
    """The code object of a file, which `opened` opens. Raises OSError or SyntaxError, and what that raises."""
    with opened(path) as file:
        source = file.read()
    position = source.find(b"\0")
    if position >= 0:
        # Up to Python 3.11 compile() raises ValueError here, without the line.
        line = source.count(b"\n", 0, position) + 1
        raise SyntaxError("source code contains a NUL byte", (path, line, None, None))
    return compile(source, path, "exec", dont_inherit=True)


def run(code, module_name, path, mtime_us):
    """Runs the code as a new module and returns it. Raises whatever the script raises.

    While it runs, and after it succeeded, the module is in `sys.modules`, as dataclasses and pickle
    need; after a failure `sys.modules` is as before.
    """
    module = _new(module_name, path, mtime_us)
    before = sys.modules.get(module_name)
    sys.modules[module_name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        if before is None:
            sys.modules.pop(module_name, None)
        else:
            sys.modules[module_name] = before
        raise
    return module


def _new(module_name, path, mtime_us):
    loader = SourceFileLoader(module_name, path)
    module = ModuleType(module_name)
    module.__spec__ = ModuleSpec(module_name, loader, origin=path)
    module.__spec__.has_location = True
    module.__loader__ = loader
    module.__file__ = path
    module.__cached__ = None
    module.__mtime__ = mtime_us
    return module
