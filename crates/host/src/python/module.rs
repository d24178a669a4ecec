//! `_wsgi_host`: the module that `wsgi_host` (crates/host/python) imports, one in each interpreter.

use std::ffi::{CStr, c_int};
use std::time::Duration;

use gateway::bootstrap::OWN_GIL_SINCE;
use pyo3::ffi;

use super::attach::{Attached, attach};
use super::exception::Class;
use super::instance::{Arguments, NO_METHOD, Table, guard, method};
use super::interpreter::{Interpreter, Support};
use super::object::{Raised, Ref};
use super::process::{self, Stage};
use super::{active, exits, figures, input_type, own_gil, recording, registry, reporter, request_type, script, worker};
use crate::measure;

#[unsafe(no_mangle)]
#[allow(missing_docs, reason = "the name is CPython's")]
pub extern "C" fn PyInit__wsgi_host() -> *mut ffi::PyObject {
    // SAFETY: called by the import system, attached; the definition is a static that CPython completes
    // once, under the GIL (PEP 489): the main interpreter's import comes before any other.
    unsafe {
        if own_gil::version() < OWN_GIL_SINCE {
            ffi::PyModuleDef_Init(&raw mut DEFINITION)
        } else {
            ffi::PyModuleDef_Init(&raw mut DEFINITION_3_12)
        }
    }
}

static mut DEFINITION: ffi::PyModuleDef = definition(SLOTS.as_ptr());

static mut DEFINITION_3_12: ffi::PyModuleDef = definition(SLOTS_3_12.as_ptr());

const fn definition(slots: *mut ffi::PyModuleDef_Slot) -> ffi::PyModuleDef {
    ffi::PyModuleDef {
        m_base: ffi::PyModuleDef_HEAD_INIT,
        m_name: c"_wsgi_host".as_ptr(),
        m_doc: c"The native half of mod_wsgi_rs inside a Python interpreter.".as_ptr(),
        m_size: 0,
        m_methods: METHODS.as_ptr(),
        m_slots: slots,
        m_traverse: None,
        m_clear: None,
        m_free: None,
    }
}

const EXECUTE: ffi::PyModuleDef_Slot = ffi::PyModuleDef_Slot { slot: ffi::Py_mod_exec, value: execute as *mut _ };
const NO_MORE: ffi::PyModuleDef_Slot = ffi::PyModuleDef_Slot { slot: 0, value: std::ptr::null_mut() };

// Python/C API, "Module Objects": Py_mod_multiple_interpreters with Py_MOD_PER_INTERPRETER_GIL_SUPPORTED. A version
// before 3.12 refuses the slot.
const MULTIPLE_INTERPRETERS: ffi::PyModuleDef_Slot =
    ffi::PyModuleDef_Slot { slot: 3, value: std::ptr::without_provenance_mut(2) };

static SLOTS: Table<ffi::PyModuleDef_Slot, 2> = Table([EXECUTE, NO_MORE]);

static SLOTS_3_12: Table<ffi::PyModuleDef_Slot, 3> = Table([EXECUTE, MULTIPLE_INTERPRETERS, NO_MORE]);

static METHODS: Table<ffi::PyMethodDef, 22> = Table([
    method!(call, c"settings", settings, c"settings(): the process's settings, a dict of str."),
    method!(call, c"log", log, c"log(level, text): a record in the error log, of the current request if there is one."),
    method!(call, c"is_logged", is_logged, c"is_logged(level): whether such lines are written."),
    method!(call, c"current", current, c"current(): the calling thread's Request, or None."),
    method!(call, c"track", track, c"track(requests): keeps a dict of the requests that run: id and data; once."),
    method!(call, c"measure", measure, c"measure(): has clocks read from now on, for figures of requests."),
    method!(call, c"record", record, c"record(): begins to record requests, once for the process."),
    method!(call, c"interval", interval, c"interval(): the figures since this interpreter last asked; see metrics.py."),
    method!(call, c"recorded", recorded, c"recorded(): the figures since the recording began; see metrics.py."),
    method!(call, c"server", server, c"server(): what httpd's scoreboard says, bytes; None if nobody may know."),
    method!(call, c"tell", tell, c"tell(kind, fields): sends a datagram to the collector, if there is one."),
    method!(call, c"shutdown_reason", shutdown_reason, c"shutdown_reason(): why the process ends; empty embedded."),
    ffi::PyMethodDef {
        ml_name: c"register".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionWithKeywords: register },
        ml_flags: ffi::METH_VARARGS | ffi::METH_KEYWORDS,
        ml_doc: c"register(**support): enters this interpreter for requests, once.".as_ptr(),
    },
    method!(
        call,
        c"park",
        park,
        c"park(): main interpreter; waits without the GIL, and makes other interpreters, until the process is to end.",
    ),
    method!(
        call,
        c"interpreters_exit",
        interpreters_exit,
        c"interpreters_exit(): main interpreter; runs the exit functions of all others.",
    ),
    method!(call, c"done", done, c"done(): main interpreter; says that all has ended. Never returns."),
    method!(call, c"adopt", adopt, c"adopt(): makes the process a worker; before anything else is called."),
    method!(call, c"scripts", scripts, c"scripts(): paths of the scripts that a worker loads before it serves."),
    method!(call, c"preload", preload, c"preload(path): loads such a script for requests; logs what goes wrong."),
    method!(
        call,
        c"initialise_in_main",
        initialise_in_main,
        c"initialise_in_main(name, path): has the main interpreter initialise an extension module.",
    ),
    method!(call, c"serve", serve, c"serve(version, prefix, executable): a worker takes requests from now on."),
    NO_METHOD,
]);

const REQUEST_TYPE: &CStr = c"Request";
const INPUT_TYPE: &CStr = c"Input";

unsafe extern "C" fn execute(module: *mut ffi::PyObject) -> c_int {
    // SAFETY: the import system executes the module attached, with the module live.
    let py = unsafe { Attached::assume_unregistered() };
    let done = guard(py, || {
        // SAFETY: the import system keeps the module live during its exec function (moduleobject, Py_mod_exec), and we are
        // attached; the module keeps the types.
        unsafe {
            add(module, REQUEST_TYPE, request_type::make_type(module)?)?;
            add(module, INPUT_TYPE, input_type::make_type(module)?)?;
        }
        Ok(py.none())
    });
    if done.is_null() {
        return -1;
    }
    // SAFETY: our own new reference to None.
    drop(unsafe { Ref::owned(done) });
    0
}

/// # Safety
/// Attached; `module` is live.
unsafe fn add(module: *mut ffi::PyObject, name: &CStr, object: Ref) -> Result<(), Raised> {
    // SAFETY: the caller promises a live module and that we are attached; the module takes a reference of its own.
    match unsafe { ffi::PyObject_SetAttrString(module, name.as_ptr(), object.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Raised),
    }
}

/// Carries out a call of a function of the module. Nothing that these do needs the interpreter's record.
///
/// # Safety
/// Python is calling a function of the module on this thread.
unsafe fn call(
    _module: *mut ffi::PyObject,
    arguments: Arguments<'_>,
    function: impl FnOnce(Attached, Arguments<'_>) -> Result<Ref, Raised>,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls functions of a module attached, and the caller promises that this is such a call.
    let py = unsafe { Attached::assume_unregistered() };
    guard(py, || function(py, arguments))
}

fn settings(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let dict = py.new_dict()?;
    let settings = wire::Settings::parse(process::settings())
        .map_err(|error| py.raise(Class::Runtime, &format!("the process has no settings: {error}")))?;
    for (name, value) in settings.pairs().map_while(Result::ok) {
        py.dict_set(&dict, &py.latin1(name)?, &py.file_name(value)?)?;
    }
    Ok(dict)
}

fn log(py: Attached, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let (level, line) = request_type::level_and_line(py, arguments)?;
    let line = py.as_bytes(&line).unwrap_or_default();
    if active::log_to_current(py, level, line).is_none() {
        process::log(level, line);
        worker::wait_for_log(py);
    }
    Ok(py.none())
}

fn is_logged(py: Attached, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let level = request_type::level(py, arguments)?;
    let answer = active::is_logged_by_current(py, level).unwrap_or_else(|| process::is_logged(level));
    Ok(py.boolean(answer))
}

fn current(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    Ok(active::current(py).unwrap_or_else(|| py.none()))
}

unsafe extern "C" fn register(
    module: *mut ffi::PyObject,
    _arguments: *mut ffi::PyObject,
    support: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by Python.
    let py = unsafe { Attached::assume_unregistered() };
    guard(py, || {
        if support.is_null() {
            return Err(py.raise(Class::Type, "register() takes keyword arguments"));
        }
        // SAFETY: the keyword dict and the module are live during the call.
        let (support, module) = unsafe { (Ref::borrowed(support), Ref::borrowed(module)) };
        let item = |name: &str| {
            py.dict_get(&support, &py.text(name)?)?
                .ok_or_else(|| py.raise(Class::Type, &format!("register() needs {name}=")))
        };
        let support = Support {
            template: item("template")?,
            errors: item("errors")?,
            load: item("load")?,
            load_asked: item("load_asked")?,
            report: item("report")?,
            file_range: item("file_range")?,
            file_wrapper: item("file_wrapper")?,
            exit_functions: item("exit_functions")?,
            adopt: item("adopt")?,
            reload_required: item("reload_required")?,
            request_timeout: item("request_timeout")?,
            current_request: item("current_request")?,
            event_callbacks: item("event_callbacks")?,
            request_started: item("request_started")?,
            response_started: item("response_started")?,
            request_exception: item("request_exception")?,
            request_finished: item("request_finished")?,
            process_signal: item("process_signal")?,
            process_stopping: item("process_stopping")?,
            initialise: item("initialise")?,
        };
        let class = |name: &CStr| py.attribute(&module, &py.interned(name)?);
        let interpreter = Interpreter::new(py, class(REQUEST_TYPE)?, class(INPUT_TYPE)?, support)?;
        // Interpreters live until the process ends.
        registry::register(Box::leak(Box::new(interpreter)));
        Ok(py.none())
    })
}

fn track(py: Attached, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let [requests] = arguments else {
        return Err(py.raise(Class::Type, "track() takes a dict"));
    };
    // SAFETY: an argument is live during the call.
    let requests = unsafe { Ref::borrowed(*requests) };
    let interpreter =
        registry::current(py).ok_or_else(|| py.raise(Class::Runtime, "track() comes after register()"))?;
    if interpreter.tracked.borrow().is_none() {
        *interpreter.tracked.borrow_mut() = Some(requests);
        for request in interpreter.running(py) {
            active::track(py, &request)?;
        }
    }
    Ok(py.none())
}

fn measure(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    measure::switch_on();
    Ok(py.none())
}

fn record(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    recording::begin();
    Ok(py.none())
}

fn interval(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let cursor = registry::current(py).and_then(|interpreter| {
        let cursor = interpreter.cursor.get().or_else(recording::cursor);
        interpreter.cursor.set(cursor);
        cursor
    });
    figures::interval(py, cursor.and_then(recording::take))
}

fn recorded(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    figures::interval(py, recording::total())
}

fn server(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    py.detach(process::server).map_or_else(|| Ok(py.none()), |block| py.bytes(&block))
}

fn tell(py: Attached, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let [kind, fields] = arguments else {
        return Err(py.raise(Class::Type, "tell() takes a kind and fields"));
    };
    // SAFETY: arguments are live during the call.
    let (kind, fields) = unsafe { (Ref::borrowed(*kind), Ref::borrowed(*fields)) };
    let kind = u8::try_from(py.as_long(&kind)?).unwrap_or(0);
    // Never waits, so it may be done attached.
    reporter::tell(kind, py.as_bytes(&fields).unwrap_or_default());
    Ok(py.none())
}

fn shutdown_reason(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    py.text(process::reason())
}

fn adopt(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    worker::adopt().map(|()| py.none()).map_err(|error| py.raise(Class::Runtime, &error))
}

fn scripts(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let list = py.new_list()?;
    for path in worker::scripts() {
        py.list_append(&list, &py.file_name(path)?)?;
    }
    Ok(list)
}

fn preload(py: Attached, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let [path] = arguments else {
        return Err(py.raise(Class::Type, "preload() takes a path"));
    };
    // SAFETY: an argument is live during the call.
    let path = py.encoded_file_name(&unsafe { Ref::borrowed(*path) })?;
    let main = registry::main().ok_or_else(|| py.raise(Class::Runtime, "preload() comes after register()"))?;
    let path = py.as_bytes(&path).unwrap_or_default();
    let (mtime_us, any_owner) = worker::preload(path);
    let loaded = registry::enter(py, main, |py| script::import(py, path, mtime_us, any_owner));
    Ok(py.boolean(loaded))
}

/// In an interpreter with a GIL of its own: has the main one initialise an extension module.
fn initialise_in_main(py: Attached, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let [name, origin] = arguments else {
        return Err(py.raise(Class::Type, "initialise_in_main() takes a name and a path"));
    };
    // SAFETY: arguments are live during the call.
    let text = |object: *mut ffi::PyObject| py.encoded_file_name(&unsafe { Ref::borrowed(object) });
    let (name, origin) = (text(*name)?, text(*origin)?);
    let bytes = |text: &Ref| py.as_bytes(text).unwrap_or_default().to_vec();
    let (name, origin) = (bytes(&name), bytes(&origin));
    let Some(main) = registry::main() else { return Ok(py.none()) };
    py.detach(|| {
        attach(main, |py| {
            let result = py.file_name(&name).and_then(|name| {
                let origin = py.file_name(&origin)?;
                py.call(&main.support.initialise, [&name, &origin])
            });
            if result.is_err() {
                // extensions.initialise() never raises; without memory the import will say so itself.
                py.clear_exception();
            }
        });
    });
    Ok(py.none())
}

fn serve(py: Attached, arguments: Arguments<'_>) -> Result<Ref, Raised> {
    let [version, prefix, executable] = arguments else {
        return Err(py.raise(Class::Type, "serve() takes version, prefix and executable"));
    };
    // SAFETY: arguments are live during the call.
    let text = |object: *mut ffi::PyObject| py.encoded_file_name(&unsafe { Ref::borrowed(object) });
    let texts = [text(*version)?, text(*prefix)?, text(*executable)?];
    let [version, prefix, executable] = texts.each_ref().map(|text| py.as_bytes(text).unwrap_or_default());
    worker::serve(version, prefix, executable).map(|()| py.none()).map_err(|error| py.raise(Class::Runtime, &error))
}

fn park(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    // First: the first request is measured, too.
    reporter::start();
    process::advance(Stage::Ready);
    while let Some(job) = py.detach(process::next_job) {
        job(py);
    }
    Ok(py.none())
}

fn interpreters_exit(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    exits::run(py, process::deadline());
    Ok(py.none())
}

fn done(py: Attached, _arguments: Arguments<'_>) -> Result<Ref, Raised> {
    reporter::tell_stopped(true);
    own_gil::halt(py);
    process::advance(Stage::Done);
    worker::end_process();
    // Python is not finalised: threads that the application left behind would die in the middle of C
    // code. The process ends around this one, which keeps the GIL, so that none of them calls into httpd
    // while it takes itself apart.
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
