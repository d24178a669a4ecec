"""os.fork() in an application: the new process is not httpd's and answers nobody.

Python itself refuses to fork in a sub-interpreter up to 3.11, so these applications run in the main one.
"""

import pytest

from harness.checklist import ours
from harness.process import children_of

ENDS = {
    "returns": ("return [b'of the child']", 0),
    "raises": ("raise ValueError('of the child')", 1),
    "exits with 3": ("sys.exit(3)", 3),
    "exits with nothing": ("sys.exit()", 0),
    "exits with a text": ("sys.exit('of the child')", 1),
    "writes": ("start_response('200 OK', [])(b'of the child')", 1),
}

PLACES = {
    "application": """
def application(environ, start_response):
    start_response("200 OK", [])
    pid = os.fork()
    if pid == 0:
        {end}
    return [f"the child ended with {{ended(pid)}}".encode()]
""",
    "iterator": """
class application:
    def __init__(self, environ, start_response):
        start_response("200 OK", [])
        self.blocks = iter([b"first, ", None])

    def __iter__(self):
        return self

    def __next__(self):
        block = next(self.blocks)
        if block:
            return block
        pid = os.fork()
        if pid == 0:
            {end}
        return f"the child ended with {{ended(pid)}}".encode()
""",
    "close": """
class application(list):
    def __init__(self, environ, start_response):
        start_response("200 OK", [])
        self[:] = [b"first"]

    def close(self):
        pid = os.fork()
        if pid == 0:
            {end}
        print("the child ended with", ended(pid))
""",
}

TOP = """
import os, sys

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


@ours
@pytest.mark.parametrize(("end", "status"), ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("place", PLACES)
def test_a_forked_process_that_comes_back_ends_and_only_its_parent_answers(site, log, place, end, status):
    app = site.script(TOP + PLACES[place].format(end=end))
    child, process = site.child(), site.process()
    says = f"the child ended with {status}"
    body = {"application": says, "iterator": f"first, {says}", "close": "first"}[place]
    log.expect(rf"WSGI0309.*\(exit status {status}\)", times=3)
    if place == "close":
        log.expect(says, times=3)
    with site.connect() as connection:
        for _ in range(3):
            assert connection.get(app.url).text == body
    if place == "close":
        log.wait_for(says, count=3)
    log.wait_for("WSGI0309", count=3)
    assert len(log.matching("WSGI0309")) == 3
    assert site.children() == [child] and site.process() == process and children_of(process) == []


@pytest.mark.parametrize("status", [0, 3])
def test_a_forked_process_that_ends_itself_is_left_alone(site, log, status):
    app = site.script(TOP + PLACES["application"].format(end=f"os._exit({status})"))
    with site.connect() as connection:
        for _ in range(3):
            assert connection.get(app.url).text == f"the child ended with {status}"
    assert children_of(site.process()) == []


def test_multiprocessing_and_subprocess_work_within_an_application(serve, site):
    def application(environ, start_response):
        import multiprocessing
        import subprocess
        import sys

        process = multiprocessing.get_context("fork").Process(target=sys.exit, args=(3,))
        process.start()
        process.join()
        command = subprocess.run(["sh", "-c", "exit 4"], preexec_fn=int)
        start_response("200 OK", [])
        return [f"{process.exitcode} {command.returncode}".encode()]

    assert serve(application).get().body == b"3 4"
    assert children_of(site.process()) == []
