//! Lays an inner context over an outer one: a value that is set wins, unset lets the outer one through.

use super::handler;
use super::interpreters::InterpreterWritten;
use super::written::{DirectoryWritten, PythonWritten, ServerWritten};

impl DirectoryWritten {
    /// The section `inner` laid over the section `base`. Called for every request by httpd.
    ///
    /// Source: httpd `create_dir_config`/`merge_dir_config` (http_config.h).
    pub fn merge(base: &DirectoryWritten, inner: &DirectoryWritten) -> DirectoryWritten {
        DirectoryWritten {
            callable_object: over(&inner.callable_object, &base.callable_object),
            application_group: over(&inner.application_group, &base.application_group),
            process_group: over(&inner.process_group, &base.process_group),
            restrict_process: over(&inner.restrict_process, &base.restrict_process),
            pass_authorization: inner.pass_authorization.or(base.pass_authorization),
            script_reloading: inner.script_reloading.or(base.script_reloading),
            error_override: inner.error_override.or(base.error_override),
            chunked_request: inner.chunked_request.or(base.chunked_request),
            map_head_to_get: inner.map_head_to_get.or(base.map_head_to_get),
            ignore_activity: inner.ignore_activity.or(base.ignore_activity),
            enable_sendfile: inner.enable_sendfile.or(base.enable_sendfile),
            pass_apache_request: inner.pass_apache_request.or(base.pass_apache_request),
            handlers: handler::merge(&base.handlers, &inner.handlers),
            trusted_proxies: over(&inner.trusted_proxies, &base.trusted_proxies),
            trusted_proxy_headers: over(&inner.trusted_proxy_headers, &base.trusted_proxy_headers),
            access_script: over(&inner.access_script, &base.access_script),
            user_script: over(&inner.user_script, &base.user_script),
            group_script: over(&inner.group_script, &base.group_script),
            dispatch_script: over(&inner.dispatch_script, &base.dispatch_script),
        }
    }
}

impl ServerWritten {
    /// The virtual host `inner` laid over the main server `base`.
    ///
    /// Aliases are not overridden but tried after the virtual host's own. Process groups, import scripts and remarks
    /// stay with the server whose lines they are, so that walking all servers meets each once.
    pub fn merge(base: &ServerWritten, inner: &ServerWritten) -> ServerWritten {
        ServerWritten {
            outside: DirectoryWritten::merge(&base.outside, &inner.outside),
            aliases: inner.aliases.iter().chain(&base.aliases).cloned().collect(),
            imports: inner.imports.clone(),
            daemons: inner.daemons.clone(),
            directions: inner.directions.clone(),
            socket_prefix: over(&inner.socket_prefix, &base.socket_prefix),
            remarks: inner.remarks.clone(),
            python: PythonWritten::merge(&base.python, &inner.python),
            asks_embedded: inner.asks_embedded,
        }
    }
}

impl PythonWritten {
    // A virtual host cannot say any of this; it is merged so that a request need not find the main server.
    fn merge(base: &PythonWritten, inner: &PythonWritten) -> PythonWritten {
        PythonWritten {
            home: over(&inner.home, &base.home),
            eggs: over(&inner.eggs, &base.eggs),
            warnings: if inner.warnings.is_empty() { &base.warnings } else { &inner.warnings }.clone(),
            optimize: inner.optimize.or(base.optimize),
            hash_seed: inner.hash_seed.or(base.hash_seed),
            dont_write_bytecode: inner.dont_write_bytecode.or(base.dont_write_bytecode),
            interpreter: InterpreterWritten::merge(&base.interpreter, &inner.interpreter),
            blocks: base.blocks.iter().chain(&inner.blocks).cloned().collect(),
            is_block_open: false,
            restrict_embedded: inner.restrict_embedded.or(base.restrict_embedded),
            case_sensitivity: inner.case_sensitivity.or(base.case_sensitivity),
            destroy_interpreter: inner.destroy_interpreter.or(base.destroy_interpreter),
            server_metrics: inner.server_metrics.or(base.server_metrics),
            telemetry: over(&inner.telemetry, &base.telemetry),
            slow_requests: inner.slow_requests.or(base.slow_requests),
            capture_user_agent: inner.capture_user_agent.or(base.capture_user_agent),
        }
    }
}

impl InterpreterWritten {
    fn merge(base: &InterpreterWritten, inner: &InterpreterWritten) -> InterpreterWritten {
        InterpreterWritten {
            path: over(&inner.path, &base.path),
            switch_interval: inner.switch_interval.or(base.switch_interval),
            own_gil: inner.own_gil.or(base.own_gil),
            restrict_stdin: inner.restrict_stdin.or(base.restrict_stdin),
            restrict_stdout: inner.restrict_stdout.or(base.restrict_stdout),
            restrict_signal: inner.restrict_signal.or(base.restrict_signal),
        }
    }
}

fn over<T: Clone>(inner: &Option<T>, base: &Option<T>) -> Option<T> {
    inner.as_ref().or(base.as_ref()).cloned()
}
