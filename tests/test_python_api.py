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


# Rows of "Always there", below "The environ": keys, and their type.
ROW = re.compile(r"^\| (`[^|]+`) \| (\w+) \| [^|]+ \|$", re.MULTILINE)


def documented_keys():
    section = PAGE.split("\nAlways there:\n")[1].split("\nThere if ")[0]
    return {key: kind for keys, kind in ROW.findall(section) for key in re.findall(r"`([^`]+)`", keys)}


@ours
def test_each_key_of_the_environ_that_is_always_there_is_there_with_its_type(serve):
    def application(environ, start_response):
        import json

        kinds = {key: type(value).__name__ for key, value in environ.items()}
        start_response("200 OK", [])
        return [json.dumps(kinds).encode()]

    kinds = serve(application).json()
    documented = documented_keys()
    assert len(documented) > 40
    assert {key: kinds.get(key) for key, kind in documented.items() if kind != "object"} == {
        key: kind for key, kind in documented.items() if kind != "object"
    }
    assert set(documented) <= set(kinds)
    # And nothing else, but for headers and what the page names beside.
    others = set(kinds) - set(documented)
    assert all(key.startswith("HTTP_") or f"`{key}`" in PAGE for key in others), others
    assert not {"HTTPS", "PATH", "GATEWAY_INTERFACE"} & set(kinds)


@ours
def test_each_name_of_the_module_is_on_the_page(serve):
    def application(environ, start_response):
        import json

        import mod_wsgi

        start_response("200 OK", [])
        return [json.dumps([name for name in dir(mod_wsgi) if not name.startswith("_")]).encode()]

    missing = [name for name in serve(application).json() if not re.search(rf"`{name}(\(\))?`", PAGE)]
    assert missing == []
