"""wsgi.file_wrapper: the fast path for regular files, iteration for everything else."""

import pytest

from harness.broken import assert_breaks
from harness.checklist import both_interpreters, embedded_only, line, ours
from harness.condition import wait_until
from harness.process import descriptors_of, has_mapped, resident_kib

pytestmark = both_interpreters

CONFIG = """
<LocationMatch "/sendfile">
  WSGIEnableSendfile On
</LocationMatch>
<LocationMatch "/no-mmap">
  EnableMMAP Off
</LocationMatch>
"""

DATA = bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def data_file(site):
    path = site.root / "data.bin"
    path.write_bytes(DATA)
    path.chmod(0o644)
    return path


@pytest.fixture
def wrapped(script, data_file):
    """Serves `environ['wsgi.file_wrapper'](expression)`; `file` in it is the open data file."""

    def make(expression="file", headers=(), before=""):
        return script(
            f"""
import io, os
closed = []

class File(io.FileIO):
    def close(self):
        closed.append(1)
        super().close()

def application(environ, start_response):
    if environ["PATH_INFO"] == "/closed":
        start_response("200 OK", [])
        return [str(len(closed)).encode()]
    file = File({str(data_file)!r}, "rb")
    write = start_response("200 OK", {list(headers)!r})
    {before or "pass"}
    return environ["wsgi.file_wrapper"]({expression})
"""
        )

    return make


@line("PY-143")
def test_the_wrapper_is_mod_wsgis_file_wrapper(serve):
    def application(environ, start_response):
        import mod_wsgi

        wrapper = environ["wsgi.file_wrapper"]
        start_response("200 OK", [])
        return [repr((wrapper is mod_wsgi.FileWrapper, wrapper.__module__, wrapper.__name__)).encode()]

    assert serve(application).get().text == "(True, 'mod_wsgi', 'FileWrapper')"


@line("PY-144")
@pytest.mark.parametrize("rest", ["", "/sendfile", "/no-mmap"])
@pytest.mark.parametrize("expression", ["file", "file, 1000", "file, blksize=7", "open(file.name, 'rb')"])
def test_a_regular_file_is_sent_with_its_length(wrapped, rest, expression):
    response = wrapped(expression).get(rest)
    assert (response.header("Content-Length"), response.body) == (str(len(DATA)), DATA)


@ours
@embedded_only("the worker reads the file, and httpd never has it")
@pytest.mark.parametrize("mmap", ["On", "Off"])
def test_a_file_is_mapped_into_memory_only_where_enable_mmap_allows_it(new_site, interpreter, mmap):
    # The file must neither fit between httpd and a client that does not read, nor be too large for apr to map.
    site = new_site(f"EnableMMAP {mmap}\nSendBufferSize 65536\n").start()
    path = site.root / "mapped.bin"
    path.write_bytes(DATA * 12)
    path.chmod(0o644)
    app = site.script(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        f"    return environ['wsgi.file_wrapper'](open({str(path)!r}, 'rb'))\n",
        interpreter,
    )
    with site.connect() as connection:
        connection.send_head("GET", app.url)
        response = connection.head()
        first = connection.take(10)
        assert has_mapped(site.child(), path) == (mmap == "On")
        assert first + connection.take(int(response.header("Content-Length")) - 10) == DATA * 12


@line("PY-145")
@pytest.mark.parametrize("rest", ["", "/sendfile"])
def test_the_offset_is_honoured(wrapped, rest):
    response = wrapped(before="file.seek(1000)").get(rest)
    assert (response.header("Content-Length"), response.body) == (str(len(DATA) - 1000), DATA[1000:])


def test_the_offset_is_that_of_tell_and_not_of_a_readers_buffer(wrapped):
    response = wrapped("reader", before="reader = io.BufferedReader(file, 4096); reader.read(10)").get()
    assert response.body == DATA[10:]


@line("PY-145")
def test_the_descriptors_offset_is_restored(script, data_file):
    app = script(
        f"""
import os
descriptor = os.open({str(data_file)!r}, os.O_RDONLY)
file = open(descriptor, "rb", buffering=0, closefd=False)

class Keep:
    def __init__(self, file):
        self.read, self.tell, self.fileno = file.read, file.tell, file.fileno
    def close(self):
        pass

def application(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"]:
        return [str(os.lseek(descriptor, 0, os.SEEK_CUR)).encode()]
    file.seek(1000)
    return environ["wsgi.file_wrapper"](Keep(file))
"""
    )
    assert app.get().body == DATA[1000:]
    assert app.get("/offset").body == b"1000"


@line("PY-146")
def test_a_shorter_content_length_limits_the_bytes(wrapped, site):
    app = wrapped(headers=[("Content-Length", "100")], before="file.seek(5)")
    with site.connect() as connection:
        for _ in range(2):
            assert connection.get(app.url).body == DATA[5:105]


@ours
@line("PY-147")
@pytest.mark.parametrize("rest", ["", "/sendfile"])
def test_a_longer_content_length_never_sends_padding(wrapped, site, log, rest):
    log.expect("WSGI0119")
    log.expect("WSGI0308")
    app = wrapped(headers=[("Content-Length", str(len(DATA) + 5000))])
    assert_breaks(site, app.url + rest, DATA, all_of_it=False)


@ours
@line("PY-148")
def test_an_offset_beyond_the_end_is_an_empty_body(wrapped, site):
    app = wrapped(before="file.seek(10_000_000)")
    with site.connect() as connection:
        for _ in range(2):
            response = connection.get(app.url)
            assert (response.status, response.body) == (200, b"")


def test_an_empty_file_is_an_empty_body(script, site):
    app = script(
        """
import os, tempfile
def application(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](tempfile.TemporaryFile())
"""
    )
    with site.connect() as connection:
        for _ in range(2):
            response = connection.get(app.url)
            assert (response.status, response.body) == (200, b"")


@line("PY-149")
@pytest.mark.parametrize("expression", ["io.BytesIO(file.read())", "io.BytesIO(file.read()), 1000"])
def test_what_has_no_descriptor_is_iterated(wrapped, expression):
    assert wrapped(expression).get().body == DATA


def test_a_pipe_is_iterated(wrapped):
    app = wrapped(
        "open(ends[0], 'rb')", before="ends = os.pipe(); os.write(ends[1], b'through a pipe'); os.close(ends[1])"
    )
    assert app.get().body == b"through a pipe"


@line("PY-150")
def test_after_write_the_file_follows_what_was_written(wrapped):
    assert wrapped(before="write(b'before ')").get().body == b"before " + DATA


@line("PY-151")
@pytest.mark.parametrize("before", ["", "write(b'x')"])
def test_the_file_is_closed_exactly_once_afterwards(wrapped, before):
    app = wrapped(before=before)
    for _ in range(3):
        app.get()
    # The last client had its whole response a moment before the file was closed.
    wait_until(lambda: int(app.get("/closed").body) >= 3, "the files to be closed")
    assert app.get("/closed").body == b"3"


def test_no_descriptor_is_leaked(wrapped, serving):
    app = wrapped()
    app.get()
    before = descriptors_of(serving())
    for _ in range(50):
        app.get()
    assert descriptors_of(serving()) <= before + 5


def test_head_of_a_file_has_its_length_and_no_body(wrapped, site):
    app = wrapped()
    with site.connect() as connection:
        for _ in range(2):
            assert connection.request("HEAD", app.url).header("Content-Length") == str(len(DATA))


def test_a_subclass_is_sent_as_well(script, data_file):
    app = script(
        f"""
import mod_wsgi
class Wrapper(mod_wsgi.FileWrapper):
    pass

def application(environ, start_response):
    start_response("200 OK", [])
    return Wrapper(open({str(data_file)!r}, "rb"))
"""
    )
    assert app.get().body == DATA


def test_middleware_may_iterate_the_wrapper(script, data_file):
    app = script(
        f"""
def application(environ, start_response):
    start_response("200 OK", [])
    wrapper = environ["wsgi.file_wrapper"](open({str(data_file)!r}, "rb"), 1000)
    return (block for block in wrapper)
"""
    )
    assert app.get().body == DATA


# -- the type itself


@pytest.fixture
def evaluate(serve):
    """Evaluates an expression over FileWrapper and io in an application; returns its repr or what it raised."""

    def application(environ, start_response):
        import io
        import urllib.parse

        class Text:
            def read(self, size):
                return "text"

        class Bare:
            def __init__(self):
                self.blocks = [b"", b"b", b"a"]

            def read(self, size):
                return self.blocks.pop()

        expression = urllib.parse.unquote(environ["QUERY_STRING"])
        names = {"FileWrapper": environ["wsgi.file_wrapper"], "io": io, "Text": Text, "Bare": Bare}
        try:
            result = repr(eval(expression, names))
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        start_response("200 OK", [])
        return [result.encode()]

    app = serve(application)

    def ask(expression):
        import urllib.parse

        return app.get("?" + urllib.parse.quote(expression)).text

    return ask


@line("PY-152")
def test_the_block_size_is_8192_by_default(evaluate):
    assert evaluate("(FileWrapper(io.BytesIO()).blksize, FileWrapper(io.BytesIO(), blksize=5).blksize)") == "(8192, 5)"


@line("PY-152")
def test_a_negative_block_size_is_refused(evaluate):
    assert evaluate("FileWrapper(io.BytesIO(), -1)") == "ValueError: blksize must not be negative"
    assert evaluate("FileWrapper(io.BytesIO(), 'x')").startswith("TypeError: ")
    assert evaluate("FileWrapper()").startswith("TypeError: ")


@line("PY-152")
@pytest.mark.parametrize("name", ["blksize", "filelike"])
def test_the_attributes_are_read_only(evaluate, name):
    assert evaluate(f"setattr(FileWrapper(io.BytesIO()), {name!r}, 1)").startswith("AttributeError: ")


def test_filelike_is_what_was_given(evaluate):
    assert evaluate("(lambda f: FileWrapper(f).filelike is f)(io.BytesIO())") == "True"


def test_the_wrapper_is_its_own_iterator_over_blocks(evaluate):
    assert (
        evaluate("(lambda w: [iter(w) is w, *w])(FileWrapper(io.BytesIO(b'abcde'), 2))") == "[True, b'ab', b'cd', b'e']"
    )


@line("PY-153")
@pytest.mark.parametrize("use", ["w.filelike", "next(w)", "list(w)"])
def test_a_closed_wrapper_is_refused(evaluate, use):
    expression = f"(lambda w: (w.close(), w.close(), {use}))(FileWrapper(io.BytesIO(b'x')))"
    assert evaluate(expression) == "ValueError: I/O operation on closed file"


@line("PY-154")
def test_a_read_that_returns_str_is_refused(evaluate):
    assert evaluate("next(FileWrapper(Text()))") == "TypeError: file wrapper read() must return bytes, not str"


@ours
@line("PY-155")
def test_close_of_a_filelike_without_close_returns_none(evaluate):
    assert evaluate("(lambda w: [*w, w.close()])(FileWrapper(Bare()))") == "[b'a', b'b', None]"


# -- large files


GIB = 1 << 30


@line("PY-156", "REQ-26")
@pytest.mark.parametrize(("rest", "size"), [("", GIB + 5), ("/sendfile", 3 * GIB + 5)])
def test_a_sparse_file_of_gigabytes_is_served_whole_with_constant_memory(script, site, rest, size, serving):
    large = site.root / "large.bin"
    with open(large, "wb") as file:
        file.truncate(size)
    large.chmod(0o644)
    app = script(
        f"""
def application(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/warm-up":
        return [b""]
    return environ["wsgi.file_wrapper"](open({str(large)!r}, "rb"))
"""
    )
    app.get("/warm-up")
    processes = {site.child(), serving()}
    before = sum(map(resident_kib, processes))
    with site.connect() as connection:
        connection.send_head("GET", app.url + rest)
        assert connection.head().header("Content-Length") == str(size)
        for position in range(0, size, GIB // 8):
            connection.discard(min(GIB // 8, size - position))
            # A mapped file is no memory of the process's own, but what is mapped at once must stay bounded.
            assert sum(map(resident_kib, processes)) - before < 100_000
        assert connection.get(app.url + "/warm-up").status == 200
