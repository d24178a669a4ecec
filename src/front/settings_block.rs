//! The settings block: what the support package of a process that runs Python is told
//! (`_wsgi_host.settings()`), whichever door the process is behind.

use wire::SettingsWriter;

use crate::apache::Httpd;
use crate::config::{Block, PythonSettings};

/// The version of mod_wsgi whose behaviour we present as `mod_wsgi.version`.
const PRESENTED_VERSION: &str = "6.1.1";

/// What single interpreters have apart: `layers` says how many sections there are, the weakest first; what the section N
/// says has names that begin with `layer.N.`.
fn put_layers(writer: &mut SettingsWriter<'_>, blocks: &[&Block]) {
    if blocks.is_empty() {
        return;
    }
    writer.set(b"layers", blocks.len().to_string().as_bytes());
    for (number, block) in blocks.iter().enumerate() {
        let name = |name: &str| format!("layer.{number}.{name}").into_bytes();
        if let Some(group) = block.application_group() {
            writer.set(&name("application_group"), group);
        }
        for (setting, value) in block.settings() {
            writer.set(&name(setting), &value);
        }
    }
}

/// The process that a block is for.
pub(super) struct Process<'a> {
    /// `embedded`, or `daemon`.
    pub(super) door: &'static str,
    /// Empty: embedded.
    pub(super) process_group: &'a [u8],
    /// Where the host library and the support package lie.
    pub(super) host_directory: &'a [u8],
    /// httpd's parent.
    pub(super) httpd_pid: u32,
    /// Whether it may serve several requests at once.
    pub(super) is_multithread: bool,
    /// Whether other processes may serve the same application.
    pub(super) is_multiprocess: bool,
}

/// Writes the block of a process that runs Python with these settings; `more` adds what its door has beside.
///
/// # Errors
/// `wire::Error` if a setting does not fit.
pub(super) fn settings_block(
    process: &Process<'_>,
    httpd: &Httpd,
    python: &PythonSettings,
    more: impl FnOnce(&mut SettingsWriter<'_>),
) -> Result<Vec<u8>, wire::Error> {
    let flag = |on: bool| -> &'static [u8] { if on { b"1" } else { b"0" } };
    let mut block = Vec::new();
    let mut writer = SettingsWriter::begin(&mut block);
    writer.set(b"door", process.door.as_bytes());
    writer.set(b"host_directory", process.host_directory);
    writer.set(b"process_group", process.process_group);
    writer.set(b"version", PRESENTED_VERSION.as_bytes());
    writer.set(b"apache_version", httpd.version.as_bytes());
    writer.set(b"apache_description", httpd.description.as_bytes());
    writer.set(b"apache_build_date", httpd.build_date.as_bytes());
    writer.set(b"mpm_name", httpd.mpm_name.as_bytes());
    writer.set(b"mpm_max_processes", httpd.max_processes.to_string().as_bytes());
    writer.set(b"mpm_threads_per_process", httpd.threads_per_process.to_string().as_bytes());
    writer.set(b"is_multithread", flag(process.is_multithread));
    writer.set(b"is_multiprocess", flag(process.is_multiprocess));
    // A worker has no terminal.
    writer.set(b"single_process", flag(httpd.is_single_process && process.door == "embedded"));
    writer.set(b"restrict_stdin", flag(python.restrict_stdin));
    writer.set(b"restrict_stdout", flag(python.restrict_stdout));
    writer.set(b"restrict_signal", flag(python.restrict_signal));
    writer.set(b"case_sensitivity", flag(python.case_sensitivity));
    if let Some(telemetry) = &python.telemetry {
        writer.set(b"telemetry", &telemetry.path);
        writer.set(b"telemetry_interval", telemetry.interval.as_secs_f64().to_string().as_bytes());
        writer.set(b"telemetry_user_agent", flag(python.capture_user_agent));
        // Processes are shown by the httpd that they belong to.
        writer.set(b"httpd_pid", process.httpd_pid.to_string().as_bytes());
        if let Some(threshold) = python.slow_requests {
            writer.set(b"slow_requests", threshold.as_secs_f64().to_string().as_bytes());
        }
    }
    if let Some(path) = &python.path {
        writer.set(b"python_path", path);
    }
    if let Some(seed) = python.hash_seed_variable() {
        writer.set(b"hash_seed", seed.as_bytes());
    }
    if let Some(interval) = python.switch_interval_text() {
        writer.set(b"switch_interval", interval.as_bytes());
    }
    writer.set(b"destroy_interpreter", flag(python.destroy_interpreter));
    writer.set(b"own_gil", flag(python.own_gil));
    put_layers(&mut writer, &python.blocks_of(process.process_group));
    more(&mut writer);
    writer.finish()?;
    Ok(block)
}
