"""What an application asks of the requests that run: `request_data()`, `active_requests`, and `contextvars`."""

import pytest

from harness.checklist import both_interpreters, line, ours
from harness.condition import wait_until

pytestmark = both_interpreters


@line("PY-178")
def test_request_data_is_one_dict_for_the_whole_request_and_empty_at_its_beginning(serve):
    def application(environ, start_response):
        import mod_wsgi

        before = dict(mod_wsgi.request_data())
        mod_wsgi.request_data()["step"] = 1
        start_response("200 OK", [])

        def body():
            data = mod_wsgi.request_data()
            yield repr((before, data, type(data).__name__)).encode()

        return body()

    app = serve(application)
    for _ in range(3):
        assert app.get().text == "({}, {'step': 1}, 'dict')"


@line("PY-178")
def test_request_data_is_there_while_a_script_is_loaded_by_a_request(script):
    app = script(
        "import mod_wsgi\nmod_wsgi.request_data()['loaded'] = True\n"
        "def application(environ, start_response):\n    start_response('200 OK', [])\n"
        "    return [repr(mod_wsgi.request_data()).encode()]\n"
    )
    assert [app.get().text for _ in range(2)] == ["{'loaded': True}", "{}"]


@line("PY-178")
def test_request_data_on_a_thread_of_its_own_raises(serve):
    def application(environ, start_response):
        import threading

        import mod_wsgi

        said = []

        def ask():
            try:
                mod_wsgi.request_data()
            except RuntimeError as error:
                said.append(str(error))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        start_response("200 OK", [])
        return [said[0].encode()]

    assert serve(application).get().text == "no active request for thread"


@ours
@line("PY-178")
@pytest.mark.parametrize("way", ["copy", "asyncio"])
def test_request_data_follows_the_context_into_threads_and_tasks(serve, way):
    def application(environ, start_response):
        import asyncio
        import contextvars
        import threading

        import mod_wsgi

        mod_wsgi.request_data()["name"] = environ["QUERY_STRING"]
        found = []

        async def tasks():
            async def ask():
                found.append(mod_wsgi.request_data()["name"])

            await asyncio.gather(ask(), asyncio.to_thread(lambda: found.append(mod_wsgi.request_data()["name"])))

        if WAY == "asyncio":  # noqa: F821
            asyncio.run(tasks())
        else:
            context = contextvars.copy_context()
            thread = threading.Thread(
                target=context.run, args=(lambda: found.append(mod_wsgi.request_data()["name"]),)
            )
            thread.start()
            thread.join()
        start_response("200 OK", [])
        return [" ".join(found).encode()]

    app = serve(application, WAY=way)
    expected = "{0} {0}" if way == "asyncio" else "{0}"
    for name in ("one", "two"):
        assert app.get(f"?{name}").text == expected.format(name)


@ours
@line("PY-178")
def test_request_data_is_over_with_its_request_for_who_keeps_its_context(script):
    app = script(
        "import contextvars, mod_wsgi\n"
        "kept = []\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    if not kept:\n        kept.append(contextvars.copy_context())\n        return [b'kept']\n"
        "    try:\n        kept[0].run(mod_wsgi.request_data)\n"
        "    except RuntimeError as error:\n        return [str(error).encode()]\n"
    )
    assert [app.get().text for _ in range(2)] == ["kept", "no active request for thread"]


@ours
def test_each_request_runs_in_a_context_of_its_own(script):
    app = script(
        "import contextvars, decimal\n"
        "var = contextvars.ContextVar('var', default='fresh')\n"
        "def application(environ, start_response):\n"
        "    before = f'{var.get()} {decimal.getcontext().prec}'\n"
        "    var.set('used')\n    decimal.getcontext().prec = 5\n"
        "    start_response('200 OK', [])\n"
        "    def body():\n        yield f'{before} {var.get()} {decimal.getcontext().prec}'.encode()\n"
        "    return body()\n"
    )
    # More requests than there are threads, so that some thread has had one before.
    assert {app.get().text for _ in range(30)} == {"fresh 28 used 5"}


WAITING = """
import json, threading
import mod_wsgi

go_on, running = threading.Event(), []

def application(environ, start_response):
    start_response("200 OK", [])
    own = environ["mod_wsgi.request_id"]
    if environ["QUERY_STRING"] == "wait":
        mod_wsgi.request_data()["who"] = "waiter"
        running.append(own)
        go_on.wait(20)
    if environ["QUERY_STRING"] == "go":
        go_on.set()
    known = dict(mod_wsgi.active_requests)
    assert known[own] is mod_wsgi.request_data() and isinstance(mod_wsgi.active_requests, dict)
    return [json.dumps([own, known, running]).encode()]
"""


@line("PY-179")
def test_active_requests_has_just_the_requests_that_run_and_their_data(script, site):
    app = script(WAITING)
    own, known, _ = app.json()
    assert known == {own: {}}
    with site.connect() as connection:
        connection.send_request("GET", f"{app.url}?wait")
        own, known, running = wait_until(lambda: (answer := app.json()) and len(answer[1]) == 2 and answer, "the other")
        assert known == {own: {}, running[0]: {"who": "waiter"}}
        app.get("?go")
        assert connection.response().status == 200
    own, known, _ = app.json()
    assert known == {own: {}}


@line("PY-179")
def test_active_requests_is_a_dict_for_everybody_who_looks_at_dicts(serve):
    def application(environ, start_response):
        import json

        from mod_wsgi import active_requests as active

        own = environ["mod_wsgi.request_id"]
        start_response("200 OK", [])
        return [repr((type(active).__name__, list(active) == [own], json.loads(json.dumps(active)) == {own: {}})).encode()]

    app = serve(application)
    for _ in range(3):
        assert app.get().text == "('dict', True, True)"
