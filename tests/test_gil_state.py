"""C extensions that come back into Python by themselves, on threads that serve several interpreters."""

from harness.checklist import embedded_only, ours

# As few threads as httpd allows: whatever a thread keeps of one request, the next one finds.
ONE_THREAD = """
ThreadsPerChild 1
ServerLimit 1
MaxRequestWorkers 1
MaxSpareThreads 2
"""

SORTING = """
import ctypes, json, threading

Compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))

def application(environ, start_response):
    called_in = set()

    def compare(left, right):
        import mod_wsgi
        called_in.add(mod_wsgi.application_group)
        return left[0] - right[0]

    numbers = (ctypes.c_int * 4)(3, 1, 4, 2)
    ctypes.CDLL(None).qsort(numbers, 4, ctypes.sizeof(ctypes.c_int), Compare(compare))
    start_response("200 OK", [])
    return [json.dumps([list(numbers), sorted(called_in), threading.get_ident()]).encode()]
"""

PLAIN = """
import threading

def application(environ, start_response):
    start_response("200 OK", [])
    return [str(threading.get_ident()).encode()]
"""


@ours
@embedded_only("a worker has one interpreter")
def test_a_c_callback_runs_in_the_main_interpreter_on_a_thread_that_served_another_one_first(new_site):
    site = new_site(ONE_THREAD).start()
    sorting, plain = site.script(SORTING), site.script(PLAIN, "sub")
    for _ in range(3):
        thread = int(plain.get().body)
        assert sorting.json() == [[1, 2, 3, 4], [""], thread]
