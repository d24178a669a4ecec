"""wsgi.errors, print, sys.stderr, logging and warnings: what reaches httpd's error log, and how."""

import threading

import pytest

from harness.checklist import both_interpreters, line, ours, smoke

pytestmark = both_interpreters

OK = "    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'done']\n"


@pytest.fixture
def run(script):
    """Serves an application that runs these statements, requests it once and returns its App."""

    def make(*statements, top=""):
        body = "".join(f"    {statement}\n" for statement in statements)
        source = f"import sys, logging, warnings\n{top}\ndef application(environ, start_response):\n"
        app = script(source + f"    errors = environ['wsgi.errors']\n{body}{OK}")
        response = app.get()
        assert (response.status, response.body) == (200, b"done")
        return app

    return make


@smoke
@line("PY-69")
@pytest.mark.parametrize(
    "statement",
    ["print('a line of mine')", "print('a line of mine', file=sys.stderr)", "errors.write('a line of mine\\n')"],
)
def test_a_line_becomes_one_record_of_level_error_with_the_requests_context(run, log, statement):
    log.expect("a line of mine$")
    app = run(statement)
    record = log.wait_for("a line of mine")
    assert len(log.matching("a line of mine")) == 1
    assert (record.module, record.level) == ("wsgi", "error")
    assert record.client.startswith("127.0.0.1") and record.request
    assert f"[script {app.path}]" in record.message


@line("PY-70")
def test_partial_writes_are_joined_until_the_newline(run, log):
    log.expect("one two three$")
    run("errors.write('one ')", "print('two ', end='')", "errors.write('three\\n')")
    assert len(log.matching("one|two|three")) == 1


@line("PY-71")
@pytest.mark.parametrize("statement", ["errors.write('no newline')", "print('no newline', end='')"])
def test_unterminated_text_is_flushed_at_the_end_of_the_request(run, log, statement):
    log.expect("no newline$")
    run(statement)


@line("PY-72")
def test_flush_emits_a_partial_line(run, log):
    log.expect("first part$")
    log.expect("second part$")
    run("errors.write('first part')", "errors.flush()", "errors.write('second part')")


@line("PY-73")
def test_writelines_works_on_the_text_and_the_binary_layer(run, log):
    log.expect("text one$")
    log.expect("text two$")
    log.expect("bytes one$")
    log.expect("bytes two$")
    run(
        "errors.writelines(['text one\\n', 'text two\\n'])",
        "errors.buffer.writelines([b'bytes one\\n', b'bytes two\\n'])",
    )


@line("PY-74")
def test_a_write_of_several_lines_becomes_several_records(run, log):
    for word in ("alpha", "beta", "gamma"):
        log.expect(f"(^|] ){word}$")
    run("errors.write('alpha\\nbeta\\ngamma')")
    assert [record.message.rpartition(" ")[2] for record in log.matching("alpha|beta|gamma")] == [
        "alpha",
        "beta",
        "gamma",
    ]


@line("PY-75")
def test_text_that_utf8_cannot_hold_is_replaced_and_not_raised(run, log):
    log.expect(r"before.*after$")
    run("errors.write('before\\udc80after\\n')")


def test_text_beyond_ascii_reaches_the_log_readable(run, log):
    log.expect(r"gr(ü|\\xc3\\xbc)n")
    run("print('gr\\u00fcn')")


@line("PY-76")
def test_wsgi_errors_has_the_attributes_of_a_text_stream(run, log):
    run(
        "assert errors.name == '<wsgi.errors>', errors.name",
        "assert errors.encoding == 'utf-8', errors.encoding",
        "assert errors.errors == 'replace', errors.errors",
        "assert errors.isatty() is False and errors.closed is False",
        "assert errors.writable() and not errors.readable() and not errors.seekable()",
        "try: errors.fileno(); assert False, 'fileno() returned'",
        "except OSError: pass",
    )


def test_wsgi_errors_counts_as_a_text_stream(run):
    run("import io", "assert isinstance(errors, io.TextIOBase)", "assert errors.write('') == 0")


def test_write_returns_the_number_of_characters(run, log):
    log.expect("counted")
    run("assert errors.write('counted\\n') == 8")


@line("PY-77")
def test_wsgi_errors_of_a_finished_request_is_refused(script):
    app = script(
        """
kept = None
def application(environ, start_response):
    global kept
    start_response("200 OK", [])
    if kept is None:
        kept = environ["wsgi.errors"]
        return [b"kept"]
    texts = []
    for call in (lambda: kept.write("late\\n"), lambda: kept.writelines(["late\\n"])):
        try:
            call()
        except RuntimeError as error:
            texts.append(str(error))
    kept.flush()
    return [", ".join(texts).encode()]
"""
    )
    assert app.get().body == b"kept"
    texts = app.get().text.split(", ")
    assert len(texts) == 2 and all(text.endswith("called on wsgi.errors after request completed") for text in texts)


@line("PY-78")
@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview"])
def test_buffer_write_accepts_any_bytes(run, log, kind):
    log.expect("from a buffer$")
    run(f"errors.buffer.write({kind}(b'from a buffer\\n'))")


@line("PY-79")
def test_buffer_write_of_str_is_accepted_with_a_deprecation_warning(run, log):
    log.expect("text into a buffer$")
    run(
        "with warnings.catch_warnings(record=True) as caught:\n"
        "        warnings.simplefilter('always')\n"
        "        errors.buffer.write('text into a buffer\\n')",
        "assert [warning.category for warning in caught] in ([DeprecationWarning], []), caught",
    )


@line("PY-80")
def test_a_print_of_a_background_thread_has_no_requests_context(run, log):
    log.expect("from the background$")
    app = run(
        "import threading", "t = threading.Thread(target=print, args=('from the background',))", "t.start(); t.join()"
    )
    record = log.wait_for("from the background")
    assert record.client is None and str(app.path) not in record.message


@ours
def test_a_thread_that_waits_for_the_body_delays_no_line_of_the_log(serve, site, log):
    def application(environ, start_response):
        import threading
        import time

        read = []
        reading = threading.Thread(target=lambda: read.append(environ["wsgi.input"].read()))
        reading.start()
        for number in range(5):
            time.sleep(0.02)
            print("while the other thread reads:", number)
            environ["wsgi.errors"].write("the same\n")
        print("all is written")
        reading.join()
        start_response("200 OK", [])
        return read

    for expected in ("while the other thread reads: [0-4]$", "the same$", "all is written$"):
        log.expect(expected)
    app = serve(application)
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "4")])
        log.wait_for("all is written")
        assert len(log.matching("while the other thread reads|the same")) == 10
        connection.send(b"body")
        assert connection.response().body == b"body"


@line("PY-81")
def test_prints_of_concurrent_requests_never_share_a_line(script, log):
    app = script(
        """
import sys, threading
barrier = threading.Barrier(4, timeout=10)

def application(environ, start_response):
    name = environ["QUERY_STRING"]
    for _ in range(50):
        sys.stdout.write(f"<{name}")
        sys.stderr.write(name)
        barrier.wait()
        print(f"{name}>")
    start_response("200 OK", [])
    return [b""]
"""
    )
    log.expect("<AAAAAAAAA>")
    log.allow("[A-D]")
    threads = [threading.Thread(target=app.get, args=(f"?{name * 3}",)) for name in "ABCD"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.wait_for(r"<([A-D])\1{8}>$", count=200)
    assert not [r for r in log.records() if "<" in r.message and len(set(r.message.rpartition("] ")[2])) != 3]


# -- logging


@line("PY-88")
def test_the_log_handler_maps_levels_to_those_of_httpd(run, log):
    for word in ("critical", "error", "warning"):
        log.expect(f"this is {word}$")
    run(
        "import mod_wsgi",
        "logger = logging.Logger('test')",
        "logger.addHandler(mod_wsgi.LogHandler())",
        "for name in 'critical error warning info debug'.split(): getattr(logger, name)('this is %s', name)",
    )
    log.wait_for("this is info")
    levels = {record.message.rpartition(" ")[2]: record.level for record in log.matching("this is ")}
    assert levels == {"critical": "crit", "error": "error", "warning": "warn", "info": "info"}


@line("PY-89")
def test_the_log_handler_asks_the_log_level_before_it_formats(run, log):
    run(
        "import mod_wsgi",
        "logger = logging.Logger('test')",
        "logger.addHandler(mod_wsgi.LogHandler())",
        "class Never:\n        def __str__(self): raise AssertionError('was formatted')",
        "logger.debug('%s', Never())",
    )


@line("PY-90")
def test_the_log_handler_splits_lines_and_attaches_the_requests_context(run, log):
    log.expect("one half$")
    log.expect("other half$")
    app = run(
        "import mod_wsgi",
        "logger = logging.Logger('test')",
        "logger.addHandler(mod_wsgi.LogHandler())",
        "logger.error('one half\\nother half')",
    )
    record = log.wait_for("other half")
    assert record.client is not None and f"[script {app.path}]" in record.message


@line("PY-91")
def test_a_formatting_error_of_the_log_handler_goes_to_handle_error(run, log):
    log.expect("handled the formatting error")
    run(
        "import mod_wsgi",
        "class Handler(mod_wsgi.LogHandler):\n"
        "        def handleError(self, record): print('handled the formatting error')",
        "logger = logging.Logger('test')",
        "logger.addHandler(Handler())",
        "logger.error('%d', 'no number')",
    )


def test_logging_to_stderr_reaches_the_log(run, log):
    log.expect("through basicConfig$")
    run("handler = logging.StreamHandler()", "handler.emit(record('through basicConfig'))",
        top="def record(text): return logging.LogRecord('x', 40, 'f', 1, text, (), None)")  # fmt: skip


@line("PY-93")
def test_a_warning_reaches_the_log(run, log):
    log.expect("UserWarning: be careful")
    log.allow("warnings.warn")
    run("warnings.warn('be careful')")


def test_a_print_at_module_level_reaches_the_log(run, log):
    log.expect("while loading$")
    run(top="print('while loading')")


# -- no cuts


@ours
@line("PY-80")
def test_partial_lines_of_two_background_threads_do_not_merge(run, log):
    log.expect("one and more of one$")
    log.expect("two and more of two$")
    run(
        "first = threading.Thread(target=talk, args=('one', 0))",
        "second = threading.Thread(target=talk, args=('two', 1))",
        "first.start(); second.start(); first.join(); second.join()",
        top="""
import threading
steps = [threading.Event() for _ in range(2)]
def talk(name, number):
    sys.stdout.write(name)
    steps[number].set()
    steps[1 - number].wait(10)
    sys.stdout.write(f" and more of {name}\\n")
""",
    )


@ours
def test_a_line_with_a_nul_is_not_cut(run, log):
    log.expect("before.*after")
    run("print('before\\0after')")


@ours
def test_a_line_longer_than_8_kb_is_not_lost(run, log):
    log.expect("x{100}")
    log.expect("the end of the long line")
    log.allow("x+")
    run("print('x' * 20000 + ' the end of the long line')")


def test_an_empty_line_between_two_others_does_not_disturb_them(run, log):
    log.expect("upper$")
    log.expect("lower$")
    log.allow(r"^(\[script [^\]]*\] ?)?$")
    run("print('upper\\n\\nlower')")
