"""Waiting for conditions. The only place of the harness that sleeps."""

import time


def wait_until(condition, what, timeout=15.0, interval=0.01):
    """Polls `condition` until it is true and returns its value; fails naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain for: {what}")
        time.sleep(interval)
