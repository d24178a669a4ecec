"""The page docs/python-api.md: each of its scripts is served, and answers what the page says; each name of it is there."""

import re

import pytest

from harness import installation
from harness.checklist import ours

PAGE = (installation.PROJECT / "docs" / "python-api.md").read_text()

# A script, and what it answers if the page says so.
SCRIPT = re.compile(r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)

# Subscribers of the script before would be told of the next one's requests.
FORGET = """
import mod_wsgi

def application(environ, start_response):
    for callbacks in (mod_wsgi.event_callbacks, mod_wsgi.signal_callbacks):
        callbacks.clear()
    start_response("200 OK", [])
    return [b"forgotten"]
"""


def scripts():
    for match in SCRIPT.finditer(PAGE):
        yield pytest.param(match[1], match[2], id=f"line-{PAGE.count(chr(10), 0, match.start()) + 1}")


def test_each_fence_of_the_page_is_one_of_the_scripts_or_an_answer():
    assert len(list(scripts())) == PAGE.count("```python") > 5
    assert sum(bool(match[2]) for match in SCRIPT.finditer(PAGE)) == PAGE.count("```text")


@ours
@pytest.mark.parametrize(("text", "answer"), list(scripts()))
def test_each_script_of_the_page_answers_what_the_page_says(script, text, answer):
    script(FORGET).get()
    response = script(text).get()
    assert response.status == 200
    if answer is not None:
        assert response.text == answer.rstrip("\n")
    script(FORGET).get()
