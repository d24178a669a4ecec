//! The table of directives: one row each, with where it may stand, how httpd hands over its argument,
//! and what it records. Which section the values end up in is decided here; their meaning is not.

use std::ffi::CStr;
use std::sync::Arc;

use gateway::Level;

use super::expand::{is_macro, is_variable, looks_like_macro};
use super::word::Words;
use super::written::{Direction, DirectoryWritten, ServerWritten, Text};
use super::{
    Accounts, GroupNames, Line, Pattern, Refusal, Remark, alias, asked, daemon, handler, import, interpreters, proxies,
    script, socket, telemetry, value,
};
use crate::codes;

/// Where a directive may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// The main server only, outside any section (httpd: `RSRC_CONF`, checked with `GLOBAL_ONLY`).
    GlobalOnly,
    /// The main server or a virtual host (`RSRC_CONF`).
    Server,
    /// As `Server`, and sections such as `<Directory>` and `<Location>` (`RSRC_CONF | ACCESS_CONF`).
    ServerOrDirectory,
    /// As `ServerOrDirectory`, and `.htaccess` under `AllowOverride FileInfo` (`OR_FILEINFO`).
    FileInfo,
    /// As `FileInfo`, and `.htaccess` under any `AllowOverride` (`OR_ALL`); of no directive that does anything.
    Anywhere,
    /// Sections only, and `.htaccess` under `AllowOverride AuthConfig` (`OR_AUTHCFG`).
    AuthConfig,
}

/// How httpd hands over what stands behind the directive's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Exactly one word, which is not empty (`TAKE1`).
    One,
    /// The rest of the line (`RAW_ARGS`).
    Raw,
    /// As `Raw`, of a section whose directives are read after it.
    Section,
}

/// One row of the table.
pub struct Directive {
    /// As it is written in the configuration.
    pub name: &'static CStr,
    /// Where it may stand.
    pub context: Context,
    /// How its argument comes.
    pub arguments: Arguments,
    /// What httpd prints for `httpd -L` and when the number of arguments is wrong.
    pub help: &'static CStr,
    /// Checks the argument and records it.
    pub apply: Apply,
}

/// Checks the argument of a directive and records it at its place.
pub type Apply = fn(&mut Place<'_>, &[u8]) -> Result<(), Refusal>;

/// Compiles a regular expression; `None` if it is malformed.
pub type Compile<'a> = dyn Fn(&[u8]) -> Option<Arc<dyn Pattern>> + 'a;

/// Makes a path that is relative to `ServerRoot` absolute; `None` if it cannot be one.
pub type Resolve<'a> = dyn Fn(&[u8]) -> Option<Vec<u8>> + 'a;

/// Where a directive stands, and what it needs from httpd.
pub struct Place<'a> {
    /// The main server or the virtual host.
    pub server: &'a mut ServerWritten,
    /// The section, if the directive stands in one or in a `.htaccess`.
    pub directory: Option<&'a mut DirectoryWritten>,
    /// httpd's regular expressions.
    pub compile: &'a Compile<'a>,
    /// httpd's notion of a relative path.
    pub resolve: &'a Resolve<'a>,
    /// The system's users and groups.
    pub accounts: &'a dyn Accounts,
    /// The process groups that this configuration has defined so far, in all servers.
    pub groups: &'a mut GroupNames,
    /// The line; `None` in a `.htaccess`,
    /// which is read for every request, so that nobody would be told of its remarks.
    pub line: Option<Line>,
}

impl Directive {
    /// Checks what stands behind the directive's name on its line, and records it at its place.
    ///
    /// # Errors
    /// The refusal that httpd prints.
    pub fn read(&self, place: &mut Place<'_>, written: &[u8]) -> Result<(), Refusal> {
        // Of a raw line only who reads its options knows where a quote begins a value.
        if self.arguments != Arguments::One {
            return (self.apply)(place, written);
        }
        let word = self.only_word(written)?;
        if Words::of(written).leaves_quote_open() {
            place.remark_open_quote();
        }
        (self.apply)(place, &word)
    }

    /// The one argument. httpd would say no more than that there is to be one, of an empty one too.
    fn only_word(&self, written: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut words = Words::of(written);
        let refuse = |given: &str| {
            let (name, help) = (self.name.to_string_lossy(), self.help.to_string_lossy());
            Refusal::new(format!("{name} takes one argument, {help}; {given}"))
        };
        match (words.word(), words.word()) {
            (None, _) => Err(refuse("none was given")),
            (Some(word), None) if word.is_empty() => Err(refuse("an empty one was given")),
            (Some(word), None) => Ok(word),
            (Some(_), Some(_)) => {
                let given = value::shown(written.trim_ascii());
                Err(refuse(&format!("given was '{given}' (a value with blanks is put in quotes)")))
            }
        }
    }

    /// The directives of a section have been read.
    pub fn close(&self, server: &mut ServerWritten) {
        interpreters::close(&mut server.python);
    }
}

impl Place<'_> {
    /// Records a doubt about this line.
    pub(super) fn remark(&mut self, code: &'static str, text: &str, only_with: Option<Text>) {
        self.say(Level::Warning, code, text, only_with);
    }

    /// Records that this line has no effect here, and why that is well.
    pub(super) fn note(&mut self, code: &'static str, text: &str) {
        self.say(Level::Notice, code, text, None);
    }

    fn say(&mut self, level: Level, code: &'static str, text: &str, only_with: Option<Text>) {
        if let Some(line) = &self.line {
            self.server.remarks.push(Remark { level, code, text: format!("{line}: {text}"), only_with });
        }
    }

    pub(super) fn remark_open_quote(&mut self) {
        self.remark(
            codes::OPEN_QUOTE,
            "a quote is not closed, so the value goes on to the end of the line; close it",
            None,
        );
    }

    /// Says of a group's name that looks like a macro that it is none.
    pub(super) fn remark_macro(&mut self, name: &[u8]) {
        if !looks_like_macro(name) || is_macro(name) {
            return;
        }
        let text = format!(
            "'{}' is no macro, so it is a name as it is written; macros are %{{GLOBAL}}, %{{SERVER}}, %{{HOST}}, %{{RESOURCE}} and \
             %{{ENV:NAME}}, alone",
            value::shown(name)
        );
        self.remark(codes::NO_MACRO, &text, None);
    }

    /// The same of the groups that a script's options name.
    pub(super) fn remark_macros(&mut self, options: &script::ScriptOptions) {
        for name in [&options.process_group, &options.application_group].into_iter().flatten() {
            self.remark_macro(name);
        }
    }

    /// Records that this line sends requests to a process group, if the name is a literal one.
    pub(super) fn direct_to(&mut self, process_group: &Text) {
        let is_literal = !process_group.is_empty() && !script::holds_macro(process_group);
        if let Some(line) = self.line.clone().filter(|_| is_literal) {
            self.server.directions.push(Direction { line, process_group: process_group.clone() });
        }
    }

    /// Where a value goes that may be set for a server as well as for a section.
    pub(super) fn scope(&mut self) -> &mut DirectoryWritten {
        match &mut self.directory {
            Some(section) => section,
            None => &mut self.server.outside,
        }
    }
}

macro_rules! global_flag {
    ($name:literal, $field:ident, $help:literal) => {
        one($name, Context::GlobalOnly, $help, |place, word| {
            place.server.python.$field = Some(value::flag($name, word)?);
            Ok(())
        })
    };
}

macro_rules! interpreter_flag {
    ($name:literal, $field:ident, $help:literal) => {
        one($name, Context::GlobalOnly, $help, |place, word| {
            interpreters::set_flag(place, $name, word, |written| &mut written.$field)
        })
    };
}

macro_rules! scoped_flag {
    ($name:literal, $field:ident, $help:literal) => {
        one($name, Context::FileInfo, $help, |place, word| {
            place.scope().$field = Some(value::flag($name, word)?);
            Ok(())
        })
    };
}

/// Every directive, in the order of docs/directives/README.md.
pub const DIRECTIVES: &[Directive] = &[
    raw(c"WSGIDaemonProcess", Context::Server, c"name of a process group, and options", daemon::daemon_process),
    one(c"WSGIProcessGroup", Context::ServerOrDirectory, c"name of the process group to run in", |place, word| {
        place.scope().process_group = Some(word.into());
        place.direct_to(&word.into());
        place.remark_macro(word);
        Ok(())
    }),
    raw(
        c"WSGIRestrictProcess",
        Context::ServerOrDirectory,
        c"names of the process groups that may be used here",
        script::restrict_process,
    ),
    one(c"WSGISocketPrefix", Context::GlobalOnly, c"path that the sockets' names begin with", socket::set_prefix),
    one(c"WSGISocketRotation", Context::GlobalOnly, c"On or Off; has no effect here", socket::set_rotation),
    one(c"WSGIAcceptMutex", Context::GlobalOnly, c"a lock mechanism; has no effect here", socket::set_accept_mutex),
    raw(
        c"WSGIScriptAlias",
        Context::Server,
        c"a URL path, the script or directory that answers it, and options",
        alias::script_alias,
    ),
    raw(
        c"WSGIScriptAliasMatch",
        Context::Server,
        c"a regular expression, the script that answers what it matches, and options",
        alias::script_alias_match,
    ),
    raw(
        c"WSGIImportScript",
        Context::Server,
        c"a script to load when a process starts, process-group= and application-group=",
        import::import_script,
    ),
    raw(
        c"WSGIHandlerScript",
        Context::ServerOrDirectory,
        c"a handler's name, the script that answers, and options",
        handler::handler_script,
    ),
    one(c"WSGICallableObject", Context::FileInfo, c"name of the application object in a script", |place, word| {
        if word.starts_with(b"%") && !is_variable(word) {
            let text = format!(
                "'{}' is no macro for a callable, so it stands for application; write a name, or %{{ENV:NAME}}",
                value::shown(word)
            );
            place.remark(codes::NO_MACRO, &text, None);
        }
        place.scope().callable_object = Some(word.into());
        Ok(())
    }),
    one(
        c"WSGIApplicationGroup",
        Context::ServerOrDirectory,
        c"name of the interpreter that applications run in",
        |place, word| {
            place.scope().application_group = Some(word.into());
            place.remark_macro(word);
            Ok(())
        },
    ),
    raw(
        c"WSGIDispatchScript",
        Context::ServerOrDirectory,
        c"a script that says where applications run, and application-group=",
        asked::dispatch_script,
    ),
    raw(c"WSGIAccessScript", Context::AuthConfig, c"a script that lets clients in, and options", asked::access_script),
    raw(c"WSGIAuthUserScript", Context::AuthConfig, c"a script that knows passwords, and options", asked::user_script),
    raw(c"WSGIAuthGroupScript", Context::AuthConfig, c"a script that knows groups, and options", asked::group_script),
    one(c"WSGIGroupAuthoritative", Context::AuthConfig, c"On or Off; has no effect", |place, word| {
        value::flag(c"WSGIGroupAuthoritative", word)?;
        place.remark(
            codes::NEEDLESS_DIRECTIVE,
            "accepted, and nothing to do: whether other rules are asked after wsgi-group is for <RequireAny> and \
             <RequireAll> to say",
            None,
        );
        Ok(())
    }),
    global_flag!(c"WSGICaseSensitivity", case_sensitivity, c"On if names of files differ by case, else Off"),
    scoped_flag!(c"WSGIPassAuthorization", pass_authorization, c"On to show the application the Authorization header"),
    scoped_flag!(c"WSGIScriptReloading", script_reloading, c"Off to load a script once and never look again"),
    scoped_flag!(c"WSGIErrorOverride", error_override, c"On to replace error pages of applications by httpd's"),
    scoped_flag!(c"WSGIChunkedRequest", chunked_request, c"On to accept request bodies of unknown length"),
    one(
        c"WSGIMapHEADToGET",
        Context::FileInfo,
        c"On, Off or Auto: whether applications see HEAD as GET",
        |place, word| {
            place.scope().map_head_to_get = Some(value::head_mapping(c"WSGIMapHEADToGET", word)?);
            Ok(())
        },
    ),
    scoped_flag!(c"WSGIIgnoreActivity", ignore_activity, c"On if requests do not count as activity of their process"),
    scoped_flag!(c"WSGIEnableSendfile", enable_sendfile, c"On to send wsgi.file_wrapper's files with sendfile"),
    one(
        c"WSGIPassApacheRequest",
        Context::ServerOrDirectory,
        c"On to give embedded applications httpd's own request",
        |place, word| {
            place.scope().pass_apache_request = Some(value::flag(c"WSGIPassApacheRequest", word)?);
            Ok(())
        },
    ),
    raw(
        c"WSGITrustedProxies",
        Context::FileInfo,
        c"addresses and networks of the proxies that are believed",
        proxies::trusted_proxies,
    ),
    raw(
        c"WSGITrustedProxyHeaders",
        Context::FileInfo,
        c"names of the headers that proxies are believed in",
        proxies::trusted_proxy_headers,
    ),
    one(c"WSGIPythonHome", Context::GlobalOnly, c"prefix of the Python installation or environment", |place, word| {
        place.server.python.home = Some(word.into());
        Ok(())
    }),
    one(
        c"WSGIPythonPath",
        Context::GlobalOnly,
        c"directories, separated by colons, to put before sys.path",
        interpreters::set_path,
    ),
    one(c"WSGIPythonEggs", Context::GlobalOnly, c"directory for PYTHON_EGG_CACHE", |place, word| {
        place.server.python.eggs = Some(word.into());
        Ok(())
    }),
    one(c"WSGIPythonOptimize", Context::GlobalOnly, c"level of Python's optimisation: 0, 1 or 2", |place, word| {
        let found = value::optimisation(c"WSGIPythonOptimize", word)?;
        if !found.is_given {
            let (given, level) = (value::shown(word), found.level);
            let text = format!("there is no level {given}, so {level} is taken; write 0, 1 or 2");
            place.remark(codes::NO_SUCH_LEVEL, &text, None);
        }
        place.server.python.optimize = Some(found.level);
        Ok(())
    }),
    one(c"WSGIPythonWarnings", Context::GlobalOnly, c"a warning filter, as for python -W", |place, word| {
        if let Some(fault) = value::filter_fault(word) {
            let text = format!(
                "Python ignores the filter '{}', since {fault}; write action:message:category:module:line, of which the end may be \
                 left out, as for python -W",
                value::shown(word)
            );
            place.remark(codes::WARNING_FILTER, &text, None);
        }
        place.server.python.warnings.push(word.into());
        Ok(())
    }),
    one(c"WSGIPythonHashSeed", Context::GlobalOnly, c"random, or a number up to 4294967295", |place, word| {
        place.server.python.hash_seed = Some(value::hash_seed(c"WSGIPythonHashSeed", word)?);
        Ok(())
    }),
    global_flag!(c"WSGIDontWriteBytecode", dont_write_bytecode, c"On to keep Python from writing .pyc files"),
    one(
        c"WSGISwitchInterval",
        Context::GlobalOnly,
        c"seconds that a Python thread may hold the GIL",
        interpreters::set_switch_interval,
    ),
    one(
        c"WSGIPerInterpreterGIL",
        Context::GlobalOnly,
        c"On to give sub-interpreters a GIL of their own",
        interpreters::set_own_gil,
    ),
    one(
        c"WSGIFreeThreading",
        Context::GlobalOnly,
        c"On to run free-threaded Pythons without a GIL; has no effect here",
        interpreters::set_free_threading,
    ),
    global_flag!(
        c"WSGIDestroyInterpreter",
        destroy_interpreter,
        c"Off to end processes without running exit functions"
    ),
    one(c"WSGIVerboseDebugging", Context::GlobalOnly, c"On or Off; has no effect", |place, word| {
        value::flag(c"WSGIVerboseDebugging", word)?;
        place.remark(codes::NEEDLESS_DIRECTIVE, "accepted, without effect; LogLevel wsgi:debug shows more", None);
        Ok(())
    }),
    global_flag!(c"WSGIRestrictEmbedded", restrict_embedded, c"On to forbid applications inside httpd's children"),
    interpreter_flag!(c"WSGIRestrictStdin", restrict_stdin, c"On to forbid the use of sys.stdin"),
    interpreter_flag!(c"WSGIRestrictStdout", restrict_stdout, c"On to forbid the use of sys.stdout"),
    interpreter_flag!(c"WSGIRestrictSignal", restrict_signal, c"Off to let applications install signal handlers"),
    global_flag!(c"WSGIServerMetrics", server_metrics, c"On to let embedded applications read httpd's scoreboard"),
    raw(
        c"WSGITelemetryService",
        Context::GlobalOnly,
        c"unix:/path of a collector's socket, and interval=seconds",
        telemetry::service,
    ),
    one(
        c"WSGISlowRequests",
        Context::GlobalOnly,
        c"seconds from which on a request is told one by one",
        telemetry::slow_requests,
    ),
    raw(
        c"WSGITelemetryOptions",
        Context::GlobalOnly,
        c"what is told beside: CaptureUserAgent, None or All",
        telemetry::options,
    ),
    Directive {
        name: c"<WSGIInterpreterOptions",
        context: Context::GlobalOnly,
        arguments: Arguments::Section,
        help: c"process-group= and application-group= of the interpreters that the section is for",
        apply: interpreters::open,
    },
];

const fn one(name: &'static CStr, context: Context, help: &'static CStr, apply: Apply) -> Directive {
    Directive { name, context, arguments: Arguments::One, help, apply }
}

const fn raw(name: &'static CStr, context: Context, help: &'static CStr, apply: Apply) -> Directive {
    Directive { name, context, arguments: Arguments::Raw, help, apply }
}

#[cfg(test)]
mod tests {
    use super::super::sample::refusal;
    use super::*;

    fn named(context: Context) -> Vec<&'static str> {
        let rows = DIRECTIVES.iter().filter(|row| row.context == context);
        rows.map(|row| row.name.to_str().expect("ASCII")).collect()
    }

    #[test]
    fn directives_may_stand_where_mod_wsgi_allows_them() {
        assert_eq!(
            named(Context::Server),
            ["WSGIDaemonProcess", "WSGIScriptAlias", "WSGIScriptAliasMatch", "WSGIImportScript"]
        );
        assert_eq!(
            named(Context::ServerOrDirectory),
            [
                "WSGIProcessGroup",
                "WSGIRestrictProcess",
                "WSGIHandlerScript",
                "WSGIApplicationGroup",
                "WSGIDispatchScript",
                "WSGIPassApacheRequest",
            ]
        );
        assert_eq!(
            named(Context::FileInfo),
            [
                "WSGICallableObject",
                "WSGIPassAuthorization",
                "WSGIScriptReloading",
                "WSGIErrorOverride",
                "WSGIChunkedRequest",
                "WSGIMapHEADToGET",
                "WSGIIgnoreActivity",
                "WSGIEnableSendfile",
                "WSGITrustedProxies",
                "WSGITrustedProxyHeaders",
            ]
        );
        assert_eq!(
            named(Context::AuthConfig),
            ["WSGIAccessScript", "WSGIAuthUserScript", "WSGIAuthGroupScript", "WSGIGroupAuthoritative"]
        );
        assert_eq!(named(Context::GlobalOnly).len() + 4 + 6 + 10 + 4, DIRECTIVES.len());
        assert_eq!(DIRECTIVES.len(), 49);
    }

    #[test]
    fn a_directive_of_one_argument_says_what_is_wrong_with_others() {
        for (line, given) in [
            ("WSGICallableObject", "none was given"),
            ("WSGICallableObject \"\"", "an empty one was given"),
            ("WSGICallableObject a b", "given was 'a b'"),
        ] {
            let refused = refusal(line);
            assert!(refused.starts_with("WSGICallableObject takes one argument, name of the application"), "{refused}");
            assert!(refused.contains(given), "{refused}");
        }
    }

    #[test]
    fn every_flag_directive_refuses_what_is_no_flag_by_its_own_name() {
        let flags = [
            "WSGIPassAuthorization",
            "WSGIScriptReloading",
            "WSGIErrorOverride",
            "WSGIChunkedRequest",
            "WSGIMapHEADToGET",
            "WSGIIgnoreActivity",
            "WSGIEnableSendfile",
            "WSGICaseSensitivity",
            "WSGIDontWriteBytecode",
            "WSGIRestrictEmbedded",
            "WSGIRestrictStdin",
            "WSGIRestrictStdout",
            "WSGIRestrictSignal",
            "WSGIPerInterpreterGIL",
            "WSGIFreeThreading",
            "WSGIPassApacheRequest",
            "WSGIDestroyInterpreter",
            "WSGIVerboseDebugging",
            "WSGISocketRotation",
            "WSGIServerMetrics",
            "WSGIGroupAuthoritative",
        ];
        for name in flags {
            let refused = refusal(&format!("{name} maybe"));
            assert!(refused.starts_with(&format!("{name} must be one of: Off | On")), "{refused}");
        }
    }

    #[test]
    fn numbers_are_refused_by_the_directives_name() {
        for line in ["WSGIPythonHashSeed -1", "WSGISwitchInterval 0", "WSGIPythonOptimize On"] {
            let (name, value) = line.split_once(' ').expect("two words");
            let refused = refusal(line);
            assert!(refused.starts_with(&format!("{name} must be")), "{refused}");
            assert!(refused.ends_with(&format!("given was '{value}'")), "{refused}");
        }
    }

    #[test]
    fn every_name_is_there_once() {
        let names: std::collections::HashSet<_> = DIRECTIVES.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), DIRECTIVES.len());
    }

    /// How the pages name a context.
    fn word(context: Context) -> &'static str {
        match context {
            Context::GlobalOnly => "global",
            Context::Server => "server",
            Context::ServerOrDirectory => "server, section",
            Context::FileInfo | Context::Anywhere => "anywhere",
            Context::AuthConfig => "section, .htaccess",
        }
    }

    // The pages are what users read: a directive without one does not exist for them.
    #[test]
    fn every_directive_has_its_page_and_its_row_in_the_list() {
        let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/directives");
        let read = |name: &str| std::fs::read_to_string(format!("{pages}/{name}.md")).expect(name);
        let list = read("README");
        for row in DIRECTIVES {
            let name = row.name.to_str().expect("ASCII").trim_start_matches('<');
            let context = word(row.context);
            let page = read(name);
            assert!(page.starts_with(&format!("# {name}\n\n| | |\n|---|---|\n| Syntax | `")), "{name}");
            assert!(page.contains(&format!("\n| Context | {context} |\n| Default | ")), "{name}: {context}");
            assert!(list.contains(&format!("\n| [{name}]({name}.md) | {context} | ")), "{name}: {context}");
        }
        let files = std::fs::read_dir(pages).expect(pages);
        assert_eq!(files.count(), DIRECTIVES.len() + 1, "each page is the list or a directive's");
    }
}
