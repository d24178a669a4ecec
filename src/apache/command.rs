//! The directives, as httpd wants its table, and the one C function behind all of them.

use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::accounts::SystemAccounts;
use super::bindings as c;
use super::config;
use super::pool::{Pool, optional_bytes};
use super::regex::Regex;
use crate::config::{
    Arguments, Context, DIRECTIVES, Directive, DirectoryWritten, GroupNames, Line, Pattern, Place, REMOVED,
    ServerWritten,
};

/// `DIRECTIVES` and `REMOVED` as `command_rec`s, with the null entry that ends the table.
#[repr(transparent)]
pub(crate) struct Commands([c::command_rec; COUNT + 1]);

const COUNT: usize = DIRECTIVES.len() + REMOVED.len();

// SAFETY: the table is constant; its pointers are to statics and functions.
unsafe impl Sync for Commands {}

/// The table that the module record points to.
pub(crate) static COMMANDS: Commands = commands();

impl Commands {
    pub(crate) const fn as_ptr(&self) -> *const c::command_rec {
        self.0.as_ptr()
    }
}

const fn commands() -> Commands {
    const END: c::command_rec = c::command_rec {
        name: std::ptr::null(),
        func: c::cmd_func { no_args: None },
        cmd_data: std::ptr::null_mut(),
        req_override: 0,
        args_how: c::cmd_how_RAW_ARGS,
        errmsg: std::ptr::null(),
    };
    let mut table = [END; COUNT + 1];
    let mut index = 0;
    while index < COUNT {
        let directive = if index < DIRECTIVES.len() { &DIRECTIVES[index] } else { &REMOVED[index - DIRECTIVES.len()] };
        table[index] = c::command_rec {
            name: directive.name.as_ptr(),
            func: c::cmd_func { raw_args: Some(apply) },
            cmd_data: std::ptr::from_ref(directive).cast_mut().cast(),
            req_override: match directive.context {
                Context::GlobalOnly | Context::Server => c::RSRC_CONF as i32,
                Context::ServerOrDirectory => (c::RSRC_CONF | c::ACCESS_CONF) as i32,
                Context::FileInfo => c::OR_FILEINFO as i32,
                Context::Anywhere => c::OR_ALL as i32,
                Context::AuthConfig => c::OR_AUTHCFG as i32,
            },
            // How many words there may be is said by Directive::read, which says more than httpd.
            args_how: c::cmd_how_RAW_ARGS,
            errmsg: directive.help.as_ptr(),
        };
        index += 1;
    }
    Commands(table)
}

/// httpd calls this for each use of a directive; null means accepted.
unsafe extern "C" fn apply(parms: *mut c::cmd_parms, directory: *mut c_void, argument: *const c_char) -> *const c_char {
    let result = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: httpd passes a live cmd_parms for the call, the section's own DirectoryWritten, and a
        // NUL-terminated argument (http_config.h). Nothing else uses these meanwhile: the configuration is read by
        // one thread, and a .htaccess by the request's own, into a section made for it.
        unsafe {
            let refusal = apply_directive(&*parms, directory.cast(), argument);
            if refusal.is_null() { read_section(parms) } else { refusal }
        }
    }));
    match result {
        Ok(message) => message,
        Err(_) => c"internal error in mod_wsgi_rs while reading this directive".as_ptr(),
    }
}

/// # Safety
/// As [`apply`] is called by httpd.
unsafe fn apply_directive(
    parms: &c::cmd_parms,
    directory: *mut DirectoryWritten,
    argument: *const c_char,
) -> *const c_char {
    // SAFETY: cmd_data of our table's entries is a `&'static Directive`; the rest as the caller says.
    unsafe {
        let directive = &*(*parms.cmd).cmd_data.cast::<Directive>();
        let pool = Pool::from_raw(parms.pool);
        if matches!(directive.context, Context::GlobalOnly) {
            let refusal = c::ap_check_cmd_context(std::ptr::from_ref(parms).cast_mut(), c::GLOBAL_ONLY);
            if !refusal.is_null() {
                return refusal;
            }
        }
        let is_htaccess = is_htaccess(parms);
        // The server of a .htaccess is in use by every thread, and nothing that may stand there is recorded with it.
        let mut nobodys = (ServerWritten::default(), GroupNames::default());
        let (written, groups) = if is_htaccess {
            (&mut nobodys.0, &mut nobodys.1)
        } else {
            let slot = config::slot((*parms.server).module_config).cast::<config::ServerSlot>();
            (&mut (*slot).written, config::group_names(parms.pool))
        };
        // A null path is the server level; there the settings go into the server's tree. What may not stand there has a
        // section even without one: <AuthnProviderAlias>.
        let is_section = !parms.path.is_null() || matches!(directive.context, Context::AuthConfig);
        let directory = is_section.then(|| &mut *directory);
        let mut place = Place {
            server: written,
            directory,
            compile: &|pattern| Regex::compile(pattern).map(|regex| Arc::new(regex) as Arc<dyn Pattern>),
            resolve: &|path| config::under_server_root(pool, path),
            accounts: &SystemAccounts,
            groups,
            line: (!is_htaccess).then(|| line(parms, directive)),
        };
        match directive.read(&mut place, optional_bytes(argument).unwrap_or(b"")) {
            Ok(()) => std::ptr::null(),
            Err(refusal) => CStr::as_ptr(pool.copy(with_name(refusal.to_string(), directive).as_bytes())),
        }
    }
}

/// Has httpd read the directives of a section, one after another, by way of [`apply`]; nothing for other directives.
///
/// # Safety
/// As [`apply`] is called by httpd; nothing of the configuration is borrowed.
unsafe fn read_section(parms: *mut c::cmd_parms) -> *const c_char {
    // SAFETY: cmd_data of our table's entries is a `&'static Directive`. httpd's own sections have their directives read in
    // the same way (server/core.c, virtualhost_section): ap_walk_config takes the first of them, or null, and the
    // configuration that they go into. The slot of the server lives as long as the server, and nobody else uses it.
    unsafe {
        let directive = &*(*(*parms).cmd).cmd_data.cast::<Directive>();
        if directive.arguments != Arguments::Section {
            return std::ptr::null();
        }
        let server = (*parms).server;
        let refusal = c::ap_walk_config((*(*parms).directive).first_child, parms, (*parms).context);
        let slot = config::slot((*server).module_config).cast::<config::ServerSlot>();
        directive.close(&mut (*slot).written);
        refusal
    }
}

/// Whether the line stands in a `.htaccess`, read for a request.
fn is_htaccess(parms: &c::cmd_parms) -> bool {
    // SAFETY: ap_check_cmd_context only reads the record (http_config.h); what it says is why not, or null.
    unsafe { !c::ap_check_cmd_context(std::ptr::from_ref(parms).cast_mut(), c::NOT_IN_HTACCESS).is_null() }
}

/// Where the directive stands.
///
/// # Safety
/// `parms` is what httpd passed to a directive's function, during the call.
unsafe fn line(parms: &c::cmd_parms, directive: &Directive) -> Line {
    // SAFETY: httpd sets `directive` to the line's node of the configuration tree (http_config.h, ap_walk_config), whose
    // file name is a string of the configuration's pool.
    let (file, number) = unsafe {
        let node = &*parms.directive;
        (optional_bytes(node.filename).unwrap_or(b"?"), node.line_num)
    };
    Line {
        directive: directive.name.to_string_lossy().into_owned(),
        file: String::from_utf8_lossy(file).into_owned(),
        number,
    }
}

/// A refusal's text, in which the directive is named once.
fn with_name(text: String, directive: &Directive) -> String {
    let name = directive.name.to_string_lossy();
    if text.contains(&*name) { text } else { format!("{text} (in {name})") }
}
