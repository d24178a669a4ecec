"""Patterns of log lines of daemon mode, where mod_wsgi says the same with other words or at another level."""

from . import installation

# A worker that did not end in good order: the supervisor's line. mod_wsgi says at `info` what is only a death to it.
DIED = "WSGI0310" if installation.IS_OURS else "has died|AH0005[012]"
# What the client's virtual host gets for it: no complete head of a response has come. mod_wsgi may still be sending the
# request then, and says that.
BROKEN = "WSGI014[67]" if installation.IS_OURS else "WSGI0(14[67]|127)"
# What may be said beside it while a group cannot be reached.
UNREACHABLE = r"WSGI0(116|117|124|31\d|37\d)"


def interpreter_in_words(interpreter, door):
    """How the header line of an exception names the interpreter of a mount."""
    if door.is_daemon:
        words = {"main": "main interpreter", "sub": "application group 'sub'"}[interpreter]
        return f"{words} of daemon process '{door.process_group}'"
    return {"main": "main interpreter", "sub": "sub-interpreter 'sub'"}[interpreter]


# The stacks of all threads, as faulthandler writes them.
_STACKS = r'^(Current thread|Thread) 0x\w+ .*most recent call first|^\s*File ".*", line \d+ in |^\s*<no Python frame>$'


def expect_of_a_worker(log, *codes, stacks=False):
    """Announces what a worker, or the supervisor about it, says that has reached a limit; `stacks`: with its stacks.

    What mod_wsgi says of the same has other words, levels and codes, and is let pass.
    """
    if not installation.IS_OURS:
        log.allow(rf"{DIED}|WSGI03\d\d|WSGI0(11[89]|145|174)|RequestTimeout|Traceback|[Tt]hread|Fatal|File|^ ")
        return
    for code in codes:
        log.expect(code)
    if stacks:
        log.allow(_STACKS)
