"""What is asked of every server: one case for each `--case`. Its name is that of its application in benches/apps/."""

from dataclasses import dataclass

MEBIBYTE = 1 << 20
HELLO = b"Hello, World!"


@dataclass(frozen=True)
class Case:
    """A request and the answer that it must get. `load_script` is the Lua file that makes wrk send it."""

    name: str
    method: str
    request_body: bytes | None
    response_body: bytes
    load_script: str


CASES = {
    case.name: case
    for case in (
        Case("hello", "GET", None, HELLO, "result.lua"),
        Case("compute", "GET", None, HELLO, "result.lua"),
        Case("wait", "GET", None, HELLO, "result.lua"),
        Case("download", "GET", None, b"x" * MEBIBYTE, "result.lua"),
        Case("upload", "POST", b"x" * MEBIBYTE, HELLO, "upload.lua"),
    )
}
