"""The Python half of mod_wsgi_rs that is written in Python.

It runs inside every interpreter that serves requests, the main one and each sub-interpreter, on
CPython 3.10 and later, with the standard library only. The native half is the extension module
`_wsgi_host`; what passes between the two is the keyword arguments of `_wsgi_host.register()` (see
`interpreter.py`) and the functions that this package calls.

In the order of a process's life: `process` or `worker` (main interpreter only; an httpd child's or a
worker's), `interpreter` (every
interpreter), `loader` and `streams` (requests), `exits`. Nothing here is shared between interpreters
and no module here starts a thread.
"""
