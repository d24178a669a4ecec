"""`wsgi.file_wrapper`."""

import gzip
import io
import os

import pytest
from wsgi_host.file_wrapper import FileWrapper, file_range


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with open(path, "rb") as opened:
        yield opened


def test_blocks_have_the_size_asked_for():
    wrapper = FileWrapper(io.BytesIO(b"abcde"), 2)
    assert iter(wrapper) is wrapper
    assert list(wrapper) == [b"ab", b"cd", b"e"]


def test_the_attributes_can_be_read_and_not_set():
    filelike = io.BytesIO()
    wrapper = FileWrapper(filelike, blksize=5)
    assert (wrapper.filelike, wrapper.blksize) == (filelike, 5)
    for name in ("filelike", "blksize"):
        with pytest.raises(AttributeError):
            setattr(wrapper, name, 1)


def test_the_default_block_is_8192_bytes():
    assert FileWrapper(filelike=io.BytesIO()).blksize == 8192


def test_a_negative_block_size_is_refused():
    with pytest.raises(ValueError, match="^blksize must not be negative$"):
        FileWrapper(io.BytesIO(), -1)


@pytest.mark.parametrize("blksize", [1.5, "8", None])
def test_a_block_size_that_is_no_integer_is_refused(blksize):
    with pytest.raises(TypeError):
        FileWrapper(io.BytesIO(), blksize)


def test_text_is_refused():
    with pytest.raises(TypeError, match=r"^file wrapper read\(\) must return bytes, not str$"):
        next(FileWrapper(io.StringIO("text")))


def test_the_file_is_closed_exactly_once():
    closed = []

    class File:
        def close(self):
            closed.append(1)
            raise OSError("late")

    wrapper = FileWrapper(File())
    assert (wrapper.close(), wrapper.close(), closed) == (None, None, [1])


def test_a_file_without_close_can_be_closed():
    assert FileWrapper(object()).close() is None


def test_a_closed_wrapper_cannot_be_used():
    wrapper = FileWrapper(io.BytesIO(b"abc"))
    wrapper.close()
    for use in (lambda: wrapper.filelike, lambda: next(wrapper)):
        with pytest.raises(ValueError, match="^I/O operation on closed file$"):
            use()
    assert file_range(wrapper) is None


def test_it_is_named_after_mod_wsgi_and_can_be_subclassed(file):
    class Mine(FileWrapper):
        pass

    assert f"{FileWrapper.__module__}.{FileWrapper.__name__}" == "mod_wsgi.FileWrapper"
    assert file_range(Mine(file)) == (file.fileno(), 0, 10)


def test_a_regular_file_is_a_range(file):
    assert file_range(FileWrapper(file)) == (file.fileno(), 0, 10)


def test_the_range_starts_where_tell_says(file):
    file.read(3)
    assert os.lseek(file.fileno(), 0, os.SEEK_CUR) != 3
    assert file_range(FileWrapper(file)) == (file.fileno(), 3, 7)


def test_a_range_beyond_the_end_is_empty(file):
    file.seek(25)
    assert file_range(FileWrapper(file)) == (file.fileno(), 25, 0)


def test_what_is_no_regular_file_is_no_range(file):
    ends = os.pipe()
    with open(ends[0], "rb") as pipe, open(ends[1], "wb"), open("/dev/null", "rb") as device:
        for filelike in (pipe, device, io.BytesIO(b"abc"), object(), file.fileno(), None):
            assert file_range(FileWrapper(filelike)) is None


def test_a_closed_file_is_no_range(file):
    file.close()
    assert file_range(FileWrapper(file)) is None


def test_a_compressed_file_is_no_range(tmp_path):
    with gzip.open(tmp_path / "file.gz", "wb") as written:
        written.write(b"abc")
    with gzip.open(tmp_path / "file.gz") as opened:
        assert file_range(FileWrapper(opened)) is None


def test_a_subclass_with_its_own_iteration_is_no_range(file):
    class Upper(FileWrapper):
        def __next__(self):
            return super().__next__().upper()

    assert file_range(FileWrapper(file)) is not None
    assert file_range(Upper(file)) is None


@pytest.mark.parametrize("offset", [-1, None, "3", 1.5])
def test_an_odd_tell_is_no_range(file, offset):
    class File:
        fileno = file.fileno

        def tell(self):
            return offset

    assert file_range(FileWrapper(File())) is None
