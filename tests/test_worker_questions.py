"""A worker that is asked about requests, with the test in the place of httpd's children (harness/worker.py)."""

import os
import textwrap
import time

import pytest
from harness import wire

pytestmark = pytest.mark.ours


@pytest.fixture
def script(tmp_path):
    def script(source, name="auth.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(source))
        return path

    return script


RIGHT = "def check_password(environ, user, password): return password == 'secret'"


def test_a_question_is_answered_and_its_connection_kept(start, script):
    worker, auth = start().ready(), script(RIGHT)
    connection = worker.connect()
    for password, said in ((b"secret", wire.YES), (b"wrong", wire.NO), (b"secret", wire.YES)):
        response = connection.request(worker.question(auth, arguments=(b"me", password)))
        assert (response.answer, response.outcome, response.body) == ((said, []), 0, b"")
    assert worker.scoreboard.seat()["begun"] == 3
    assert worker.scoreboard.seat()["active"] == 0


def test_questions_and_requests_share_a_connection(start, script):
    worker, auth = start().ready(), script(RIGHT)
    app = script("def application(environ, start_response): start_response('200 OK', []); return [b'hello']", "app.wsgi")
    connection = worker.connect()
    for _ in range(2):
        assert connection.request(worker.question(auth)).answer == (wire.YES, [])
        assert connection.request(worker.head(app)).body == b"hello"


def test_a_question_that_waited_too_long_is_not_asked_and_the_log_names_no_status(start, script):
    """What httpd answers then depends on what was asked."""
    worker, auth = start(queue_timeout=5).ready(), script(RIGHT)
    late = int((time.time() - 6) * 1e6)
    response = worker.ask(auth, request_start_us=late)
    assert (response.answer, response.outcome) == (None, 504)
    assert "WSGI0084: the question check_password() waited 6." in response.text
    assert response.text.rstrip().endswith("longer than queue-timeout allows; it is not asked, so there is no answer")
    assert worker.scoreboard.seat()["begun"] == 0
    assert worker.ask(auth).answer == (wire.YES, [])


@pytest.mark.parametrize(
    ("subject", "arguments", "source", "said"),
    [
        (wire.PASSWORD, (b"me", b"p"), "def check_password(e, *args): return repr(args)", (wire.TEXT, [b"('me', 'p')"])),
        (wire.REALM_HASH, (b"me", b"r"), "def get_realm_hash(e, *args): return b'abc'", (wire.TEXT, [b"abc"])),
        (wire.GROUPS, (b"me", b""), "def groups_for_user(e, *args): return args", (wire.NAMES, [b"me"])),
        (wire.ACCESS, (b"h", b""), "def allow_access(e, *args): return None", (wire.NONE, [])),
        (wire.DISPATCH, (b"", b""), "def process_group(e): return 'g'", (wire.ROUTE, [b"g", None, None])),
        (wire.GROUPS, (b"me", b""), "groups_for_user = None", (wire.FAILED_ANSWER, [])),
    ],
)
def test_each_subject_has_its_function_and_arguments(start, script, subject, arguments, source, said):
    response = start().ready().ask(script(source), subject, arguments)
    assert (response.answer, response.outcome) == (said, 0)


def test_variables_are_looked_up_at_the_other_end(start, script):
    auth = script("def get_realm_hash(e, *args): return repr([e['mod_ssl.var_lookup'](n) for n in ('SSL_A', 'B')])")
    response = start().ready().ask(auth, wire.REALM_HASH)
    assert response.answer == (wire.TEXT, [b"['ssl_a', None]"])


def test_the_flag_says_that_the_connection_is_tls(start, script):
    auth, worker = script("def get_realm_hash(e, *args): return str(e['mod_ssl.is_https']())"), start().ready()
    assert worker.ask(auth, wire.REALM_HASH, flags=0).answer == (wire.TEXT, [b"0"])
    assert worker.ask(auth, wire.REALM_HASH, flags=1).answer == (wire.TEXT, [b"1"])


def test_a_client_that_closes_while_a_variable_is_looked_up_ends_the_question(start, script):
    auth = script(
        "def check_password(e, *args):\n    print('value', e['mod_ssl.var_lookup']('SSL_A'))\n    return True\n"
        "def get_realm_hash(e, *args): return 'x'"
    )
    worker = start().ready()
    connection = worker.connect()
    connection.send(worker.question(auth))
    kind, _ = connection.frame()
    assert kind == wire.WELCOME
    while kind != wire.LOOKUP:
        kind, _ = connection.frame()
    connection.close()
    assert worker.ask(auth, wire.REALM_HASH).answer == (wire.TEXT, [b"x"])


def test_a_failure_is_told_with_its_lines(start, script):
    response = start().ready().ask(script("def check_password(e, *args): raise ValueError('no')"))
    assert response.answer == (wire.FAILED_ANSWER, [])
    assert "WSGI0174" in response.text and "ValueError: no" in response.text


def test_a_password_is_in_no_line(start, script):
    worker = start().ready()
    auth = script("def check_password(e, user, password): raise ValueError('no')")
    response = worker.ask(auth, arguments=(b"me", b"never-to-be-seen"))
    assert "never-to-be-seen" not in response.text + worker.text() + worker.errors()


def test_a_question_that_ran_too_long_is_named_without_the_query(start, script):
    worker = start(threads=1, request_timeout=1, graceful_timeout=0, shutdown_timeout=1).ready()
    auth = script("import time\ndef check_password(e, user, password): time.sleep(60)")
    worker.connect().send(worker.question(auth, environ={"REQUEST_URI": "/reset?token=never-to-be-seen"}))
    assert worker.wait() == 124
    assert "check_password() for GET /reset has been running" in worker.text()
    assert "never-to-be-seen" not in worker.text() + worker.errors()


def test_a_changed_script_refuses_the_question_once(start, script):
    worker, auth = start().ready(), script(RIGHT)
    assert worker.ask(auth).answer == (wire.YES, [])
    stamp = auth.stat().st_mtime_ns + 2_000_000_000
    os.utime(auth, ns=(stamp, stamp))
    assert worker.ask(auth, flags=0, **{"script_mtime_us": stamp // 1000}).refusal is None
    reloading = wire.question(worker.head(auth, flags=wire.RELOADING), auth, arguments=(b"me", b"secret"))
    connection = worker.connect()
    assert connection.request(reloading).refusal == wire.OUTDATED
    assert worker.wait_for("reload")["script"] == str(auth).encode()


def test_another_application_group_is_refused(start, script):
    worker, auth = start().ready(), script(RIGHT)
    assert worker.ask(auth).answer == (wire.YES, [])
    response = worker.ask(auth, environ={"mod_wsgi.application_group": "another"})
    assert (response.refusal, response.answer) == (wire.MISDIRECTED, None)



@pytest.mark.parametrize(
    "spoil",
    [
        lambda block: block[:8] + b"\x09\0" + block[10:],
        lambda block: block[:10] + b"\x02\0" + block[12:],
        lambda block: block[:12] + b"\xff\xff\xff\x7f" + block[16:],
        lambda block: block[:20] + b"\xff\xff\xff\xff" + block[24:],
        lambda block: block[:-1] + b"",
    ],
    ids=["subject", "flags", "length of the script", "length of the password", "cut"],
)
def test_a_malformed_question_closes_that_connection_with_one_line(start, script, spoil):
    worker, auth = start().ready(), script(RIGHT)
    block = spoil(worker.question(auth))
    block = len(block).to_bytes(4, "little") + block[4:]
    connection = worker.connect()
    connection.send(block)
    assert connection.is_closed()
    assert worker.ask(auth).answer == (wire.YES, [])
    assert worker.text().count("WSGI0345") == 1


def test_a_variable_that_nobody_asked_for_closes_the_connection(start, script):
    worker, auth = start().ready(), script(RIGHT)
    connection = worker.connect()
    connection.send(worker.question(auth) + wire.found(b"x"))
    assert connection.is_closed()
    assert worker.ask(auth).answer == (wire.YES, [])
    assert "WSGI0345" in worker.text()


@pytest.mark.parametrize("kind", [wire.ANSWER, wire.LOOKUP])
def test_a_frame_that_only_a_worker_sends_closes_the_connection(start, script, kind):
    worker = start().ready()
    connection = worker.connect()
    connection.send(wire.block(kind, b"\3\0\0\0"))
    assert connection.is_closed()
    assert worker.ask(script(RIGHT)).answer == (wire.YES, [])
    assert "WSGI0345" in worker.text()
