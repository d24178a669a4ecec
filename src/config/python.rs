//! How the interpreter inside httpd's children is started: the settings of the main server, and the
//! command line that they come to.

use std::time::Duration;

use super::interpreters::{Block, blocks_of};
use super::telemetry::Telemetry;
use super::written::{ServerWritten, Text};

/// Where the hashes of `str` and `bytes` start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashSeed {
    /// Another one in every process, even if the environment asks for a fixed one.
    Random,
    /// This one in every process.
    Fixed(u32),
}

/// The settings of the interpreter.
#[derive(Clone, Debug, PartialEq)]
pub struct PythonSettings {
    /// Prefix of the installation or virtual environment; `None` is the Python chosen at build time.
    pub home: Option<Text>,
    /// Directories, separated by colons, to put before `sys.path`.
    pub path: Option<Text>,
    /// `PYTHON_EGG_CACHE`; not of process groups, which have an option for it.
    pub eggs: Option<Text>,
    /// Warning filters, in order.
    pub warnings: Vec<Text>,
    /// 0, 1 or 2.
    pub optimize: u8,
    /// `None` leaves it to Python and its environment.
    pub hash_seed: Option<HashSeed>,
    /// Whether no `.pyc` is written.
    pub dont_write_bytecode: bool,
    /// `None` is Python's own.
    pub switch_interval: Option<Duration>,
    /// Whether sub-interpreters have a GIL of their own.
    pub own_gil: bool,
    /// Whether `sys.stdin` is out of bounds.
    pub restrict_stdin: bool,
    /// Whether `sys.stdout` is out of bounds.
    pub restrict_stdout: bool,
    /// Whether `signal.signal()` has no effect.
    pub restrict_signal: bool,
    /// Whether applications may not run in httpd's children; `None` if the configuration does not say.
    pub restrict_embedded: Option<bool>,
    /// Whether names of files differ by case.
    pub case_sensitivity: bool,
    /// Whether exit functions run when a process ends.
    pub destroy_interpreter: bool,
    /// What some interpreters have apart.
    pub blocks: Vec<Block>,
    /// Whether embedded applications may read httpd's scoreboard.
    pub server_metrics: bool,
    /// Where processes send what they measure.
    pub telemetry: Option<Telemetry>,
    /// Requests that take as long are told one by one; `None`: none are.
    pub slow_requests: Option<Duration>,
    /// Whether the browser's name is told of them.
    pub capture_user_agent: bool,
}

impl PythonSettings {
    /// What the main server says.
    pub fn of(main: &ServerWritten) -> PythonSettings {
        let written = &main.python;
        let interpreter = &written.interpreter;
        PythonSettings {
            home: written.home.clone(),
            path: interpreter.path.clone(),
            eggs: written.eggs.clone(),
            warnings: written.warnings.clone(),
            optimize: written.optimize.unwrap_or(0),
            hash_seed: written.hash_seed,
            dont_write_bytecode: written.dont_write_bytecode.unwrap_or(false),
            switch_interval: interpreter.switch_interval,
            own_gil: interpreter.own_gil.unwrap_or(false),
            restrict_stdin: interpreter.restrict_stdin.unwrap_or(false),
            restrict_stdout: interpreter.restrict_stdout.unwrap_or(false),
            restrict_signal: interpreter.restrict_signal.unwrap_or(true),
            restrict_embedded: written.restrict_embedded,
            case_sensitivity: case_sensitive(main),
            destroy_interpreter: written.destroy_interpreter.unwrap_or(true),
            blocks: written.blocks.clone(),
            server_metrics: written.server_metrics.unwrap_or(false),
            telemetry: written.telemetry.clone(),
            // 0 means none.
            slow_requests: written.slow_requests.filter(|threshold| !threshold.is_zero()),
            capture_user_agent: written.capture_user_agent.unwrap_or(false),
        }
    }

    /// The sections that are for interpreters of a process group (empty: httpd's own processes), the weakest first.
    pub fn blocks_of(&self, process_group: &[u8]) -> Vec<&Block> {
        blocks_of(&self.blocks, process_group)
    }

    /// Whether any interpreter inside httpd's processes is to have a GIL of its own.
    pub fn asks_for_own_gils(&self) -> bool {
        self.own_gil || self.blocks.iter().any(Block::asks_for_own_gils)
    }

    /// The entries of `path`, and of those of sections.
    pub fn path_entries(&self) -> impl Iterator<Item = &[u8]> {
        let paths = self.path.as_deref().into_iter().chain(self.blocks.iter().filter_map(Block::path));
        paths.flat_map(|path| path.split(|byte| *byte == b':')).filter(|entry| !entry.is_empty())
    }

    /// What stands between the interpreter's name and `-c` on its command line.
    ///
    /// Source: CPython, "Command line and environment".
    pub fn arguments(&self) -> Vec<Vec<u8>> {
        let mut arguments: Vec<Vec<u8>> = Vec::new();
        if self.dont_write_bytecode {
            arguments.push(b"-B".to_vec());
        }
        match self.optimize {
            0 => {}
            1 => arguments.push(b"-O".to_vec()),
            _ => arguments.push(b"-OO".to_vec()),
        }
        if self.hash_seed == Some(HashSeed::Random) {
            arguments.push(b"-R".to_vec());
        }
        for filter in &self.warnings {
            arguments.extend([b"-W".to_vec(), filter.to_vec()]);
        }
        arguments
    }

    /// The value of `PYTHONHASHSEED` to start the interpreter with, since no option fixes a seed.
    pub fn hash_seed_variable(&self) -> Option<String> {
        match self.hash_seed? {
            HashSeed::Random => None,
            HashSeed::Fixed(seed) => Some(seed.to_string()),
        }
    }

    /// The switch interval as Python reads it, in seconds.
    pub fn switch_interval_text(&self) -> Option<String> {
        self.switch_interval.map(interval_text)
    }
}

/// An interval as Python reads it, in seconds.
pub(super) fn interval_text(interval: Duration) -> String {
    interval.as_secs_f64().to_string()
}

/// What `WSGICaseSensitivity` says, or what is usual on this system.
pub(super) fn case_sensitive(server: &ServerWritten) -> bool {
    server.python.case_sensitivity.unwrap_or(!cfg!(target_os = "macos"))
}

#[cfg(test)]
mod tests {
    use super::super::sample::server;
    use super::*;

    fn settings(lines: &[&str]) -> PythonSettings {
        PythonSettings::of(&server(lines))
    }

    #[test]
    fn nothing_said_leaves_python_as_it_is() {
        let settings = settings(&[]);
        assert!(settings.arguments().is_empty());
        assert_eq!(settings.hash_seed_variable(), None);
        assert_eq!(settings.switch_interval_text(), None);
        assert_eq!((settings.home, settings.path), (None, None));
        assert_eq!(settings.restrict_embedded, None);
        assert!(settings.restrict_signal && !settings.restrict_stdin && !settings.restrict_stdout);
    }

    #[test]
    fn settings_become_arguments_with_warnings_in_order() {
        let settings = settings(&[
            "WSGIPythonWarnings error::DeprecationWarning",
            "WSGIPythonWarnings ignore",
            "WSGIPythonOptimize 2",
            "WSGIDontWriteBytecode On",
        ]);
        let expected: [&[u8]; 6] = [b"-B", b"-OO", b"-W", b"error::DeprecationWarning", b"-W", b"ignore"];
        assert_eq!(settings.arguments(), expected);
    }

    #[test]
    fn one_level_of_optimisation_is_one_o() {
        assert_eq!(settings(&["WSGIPythonOptimize 1"]).arguments(), [b"-O"]);
        assert!(settings(&["WSGIPythonOptimize 0"]).arguments().is_empty());
    }

    // mod_wsgi pins seed 0 here.
    #[test]
    fn a_random_hash_seed_means_randomisation() {
        let settings = settings(&["WSGIPythonHashSeed random"]);
        assert_eq!(settings.arguments(), [b"-R"]);
        assert_eq!(settings.hash_seed_variable(), None);
    }

    #[test]
    fn a_fixed_hash_seed_goes_through_the_environment() {
        let settings = settings(&["WSGIPythonHashSeed 7"]);
        assert!(settings.arguments().is_empty());
        assert_eq!(settings.hash_seed_variable().as_deref(), Some("7"));
    }

    #[test]
    fn paths_and_restrictions_are_handed_on() {
        let settings = settings(&[
            "WSGIPythonHome \"/srv/my venv\"",
            "WSGIPythonPath /a:/b",
            "WSGISwitchInterval 0.002",
            "WSGIRestrictStdin On",
            "WSGIRestrictStdout On",
            "WSGIRestrictSignal Off",
            "WSGIRestrictEmbedded Off",
            "WSGICaseSensitivity Off",
        ]);
        assert_eq!(settings.home.as_deref(), Some(&b"/srv/my venv"[..]));
        assert_eq!(settings.path.as_deref(), Some(&b"/a:/b"[..]));
        assert_eq!(settings.switch_interval_text().as_deref(), Some("0.002"));
        assert!(settings.restrict_stdin && settings.restrict_stdout && !settings.restrict_signal);
        assert_eq!(settings.restrict_embedded, Some(false));
        assert!(!settings.case_sensitivity);
    }

    #[test]
    fn a_virtual_host_has_all_of_the_main_servers_settings() {
        let main = server(&[
            "WSGIPythonHome /home",
            "WSGIPythonPath /path",
            "WSGIPythonWarnings error",
            "WSGIPythonOptimize 1",
            "WSGIPythonHashSeed 1",
            "WSGIDontWriteBytecode On",
            "WSGISwitchInterval 1",
            "WSGIRestrictStdin On",
            "WSGIRestrictStdout On",
            "WSGIRestrictSignal Off",
            "WSGIRestrictEmbedded On",
            "WSGICaseSensitivity Off",
            "WSGIPythonEggs /eggs",
            "WSGIDestroyInterpreter Off",
        ]);
        let host = ServerWritten::merge(&main, &ServerWritten::default());
        assert_eq!(PythonSettings::of(&host), PythonSettings::of(&main));
    }

    #[test]
    fn a_path_has_no_empty_entries() {
        let settings = settings(&["WSGIPythonPath :/a::/b:"]);
        assert_eq!(settings.path_entries().collect::<Vec<_>>(), [b"/a", b"/b"]);
    }
}
