//! What holds for some interpreters only: `<WSGIInterpreterOptions>`, and the directives that may stand in it.

use std::time::Duration;

use super::directive::Place;
use super::python::interval_text;
use super::value::{Refusal, flag, shown};
use super::word::{OptionWord, Words};
use super::written::{PythonWritten, Text};
use crate::codes;

const DIRECTIVE: &str = "<WSGIInterpreterOptions>";

/// Settings that interpreters of one process may have apart; `None` leaves them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct InterpreterWritten {
    pub(super) path: Option<Text>,
    pub(super) switch_interval: Option<Duration>,
    pub(super) own_gil: Option<bool>,
    pub(super) restrict_stdin: Option<bool>,
    pub(super) restrict_stdout: Option<bool>,
    pub(super) restrict_signal: Option<bool>,
}

/// One section, and which interpreters it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Empty: httpd's own processes.
    process_group: Option<Text>,
    /// Empty: the main interpreter.
    application_group: Option<Text>,
    options: InterpreterWritten,
}

impl Block {
    /// The interpreters that it is for, if not all of the process; empty is the main one.
    pub fn application_group(&self) -> Option<&[u8]> {
        self.application_group.as_deref()
    }

    /// What it says, by the names of the settings block (`front/settings_block.rs`).
    pub fn settings(&self) -> Vec<(&'static str, Vec<u8>)> {
        let options = &self.options;
        let flag = |on: bool| if on { b"1".to_vec() } else { b"0".to_vec() };
        let said = [
            ("python_path", options.path.as_ref().map(|path| path.to_vec())),
            ("switch_interval", options.switch_interval.map(|interval| interval_text(interval).into_bytes())),
            ("own_gil", options.own_gil.map(flag)),
            ("restrict_stdin", options.restrict_stdin.map(flag)),
            ("restrict_stdout", options.restrict_stdout.map(flag)),
            ("restrict_signal", options.restrict_signal.map(flag)),
        ];
        said.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Its `WSGIPythonPath`.
    pub(super) fn path(&self) -> Option<&[u8]> {
        self.options.path.as_deref()
    }

    /// Whether it asks for interpreters with a GIL of their own, inside httpd's processes.
    pub(super) fn asks_for_own_gils(&self) -> bool {
        let is_embedded = self.process_group.as_ref().is_none_or(|group| group.is_empty());
        is_embedded && self.options.own_gil == Some(true) && !self.is_of_main()
    }

    fn is_of_main(&self) -> bool {
        self.application_group.as_ref().is_some_and(|group| group.is_empty())
    }

    /// How many selectors it has.
    fn specificity(&self) -> usize {
        usize::from(self.process_group.is_some()) + usize::from(self.application_group.is_some())
    }
}

/// The sections that are for interpreters of a process group (empty: httpd's own processes), the weakest first: of two that
/// say the same the one with more selectors counts, and of equals the later one.
pub(super) fn blocks_of<'b>(all: &'b [Block], process_group: &[u8]) -> Vec<&'b Block> {
    let is_for = |block: &&Block| block.process_group.as_deref().is_none_or(|group| group == process_group);
    let mut blocks: Vec<&Block> = all.iter().filter(is_for).collect();
    blocks.sort_by_key(|block| block.specificity());
    blocks
}

impl PythonWritten {
    /// Where a directive puts its value that may stand in a section: the section that is being read, or the rest.
    fn interpreter(&mut self) -> &mut InterpreterWritten {
        match self.blocks.last_mut().filter(|_| self.is_block_open) {
            Some(block) => &mut block.options,
            None => &mut self.interpreter,
        }
    }
}

/// `<WSGIInterpreterOptions [process-group=…] [application-group=…]>`; until [`close`] the directives go there.
pub(super) fn open(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    if place.server.python.is_block_open {
        return Err(Refusal::new(format!("{DIRECTIVE} cannot stand in another one; close the other first")));
    }
    let Some(end) = line.iter().rposition(|byte| *byte == b'>') else {
        return Err(Refusal::new(format!("{DIRECTIVE}: missing closing '>'; given was '{}'", shown(line))));
    };
    let mut block = Block::default();
    let mut words = Words::of(&line[..end]);
    while let Some(word) = words.option() {
        match word {
            OptionWord::Pair(key, value) => block.select(key, value)?,
            OptionWord::Bare(word) => {
                return Err(Refusal::new(format!(
                    "{DIRECTIVE}: '{}' is not of the form key=value; {ACCEPTED}",
                    shown(word)
                )));
            }
        }
    }
    if words.has_open_quote() {
        place.remark_open_quote();
    }
    place.server.python.blocks.push(block);
    place.server.python.is_block_open = true;
    Ok(())
}

/// The section has been read.
pub(super) fn close(python: &mut PythonWritten) {
    python.is_block_open = false;
}

const ACCEPTED: &str =
    "accepted are process-group=NAME and application-group=NAME, each once, and %{GLOBAL} for a name";

impl Block {
    fn select(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), Refusal> {
        let selector = match key {
            _ if key.eq_ignore_ascii_case(b"process-group") => &mut self.process_group,
            _ if key.eq_ignore_ascii_case(b"application-group") => &mut self.application_group,
            _ => return Err(Refusal::new(format!("{DIRECTIVE}: unknown selector '{}'; {ACCEPTED}", shown(key)))),
        };
        let name: Text = match &value[..] {
            b"" => {
                return Err(Refusal::new(format!("{DIRECTIVE}: the selector '{}' is empty; {ACCEPTED}", shown(key))));
            }
            b"%{GLOBAL}" => Text::default(),
            name => name.into(),
        };
        match selector.replace(name) {
            None => Ok(()),
            Some(_) => Err(Refusal::new(format!(
                "{DIRECTIVE}: the selector '{}' is given more than once; {ACCEPTED}",
                shown(key)
            ))),
        }
    }
}

/// A flag of an interpreter's.
pub(super) fn set_flag(
    place: &mut Place<'_>,
    name: &std::ffi::CStr,
    word: &[u8],
    field: fn(&mut InterpreterWritten) -> &mut Option<bool>,
) -> Result<(), Refusal> {
    let value = flag(name, word)?;
    *field(place.server.python.interpreter()) = Some(value);
    Ok(())
}

/// `WSGIPythonPath directories`
pub(super) fn set_path(place: &mut Place<'_>, word: &[u8]) -> Result<(), Refusal> {
    place.server.python.interpreter().path = Some(word.into());
    Ok(())
}

/// `WSGISwitchInterval seconds`
pub(super) fn set_switch_interval(place: &mut Place<'_>, word: &[u8]) -> Result<(), Refusal> {
    place.server.python.interpreter().switch_interval = Some(super::value::interval(c"WSGISwitchInterval", word)?);
    Ok(())
}

/// `WSGIPerInterpreterGIL On|Off`
pub(super) fn set_own_gil(place: &mut Place<'_>, word: &[u8]) -> Result<(), Refusal> {
    let is_on = flag(c"WSGIPerInterpreterGIL", word)?;
    place.server.python.interpreter().own_gil = Some(is_on);
    let block = place.server.python.blocks.last().filter(|_| place.server.python.is_block_open);
    let is_of_main = block.is_some_and(Block::is_of_main);
    if is_on && is_of_main {
        let text =
            "the main interpreter never has a GIL of its own, so this has no effect; name another application-group";
        place.remark(codes::NO_OWN_GIL, text, None);
    } else if is_on {
        place.note(
            codes::NEEDLESS_DIRECTIVE,
            "concerns applications inside httpd's own processes; one of a process group has a process, and so a GIL, of its own",
        );
    }
    Ok(())
}

/// `WSGIFreeThreading On|Off`
pub(super) fn set_free_threading(place: &mut Place<'_>, word: &[u8]) -> Result<(), Refusal> {
    if !flag(c"WSGIFreeThreading", word)? {
        return Ok(());
    }
    let block = place.server.python.blocks.last().filter(|_| place.server.python.is_block_open);
    if block.is_some_and(|block| block.application_group.is_some()) {
        place.remark(
            codes::FREE_THREADING_OF_GROUP,
            "whether there is a GIL is a matter of the whole process, so in a section with application-group= this has no effect; \
             take it out",
            None,
        );
    } else {
        place.remark(
            codes::NO_FREE_THREADING,
            "this module runs Pythons with a GIL only, so this has no effect; take it out. Give a process group more processes for \
             more processors",
            None,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{refusal, server};
    use super::super::{PythonSettings, ServerWritten};
    use super::*;

    /// What interpreters of a process group have in common, and what the sections add, the weakest first.
    fn layers(lines: &[&str], process_group: &str) -> Vec<(Option<String>, String)> {
        let settings = PythonSettings::of(&server(lines));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = |block: &Block| {
            let pairs = block.settings().into_iter().map(|(name, value)| format!("{name}={}", text(&value)));
            pairs.collect::<Vec<_>>().join(" ")
        };
        let blocks = settings.blocks_of(process_group.as_bytes());
        blocks.into_iter().map(|block| (block.application_group().map(text), said(block))).collect()
    }

    #[test]
    fn directives_in_a_section_are_for_its_interpreters_only() {
        let lines = [
            "WSGIRestrictStdout On",
            "<WSGIInterpreterOptions application-group=shop>",
            "WSGIPythonPath /a:/b",
            "WSGISwitchInterval 0.5",
            "WSGIRestrictStdin On",
            "WSGIRestrictStdout Off",
            "WSGIRestrictSignal Off",
            "WSGIPerInterpreterGIL On",
            "</WSGIInterpreterOptions>",
            "WSGIRestrictSignal On",
        ];
        let settings = PythonSettings::of(&server(&lines));
        assert!(settings.restrict_stdout && !settings.restrict_stdin && settings.restrict_signal && !settings.own_gil);
        assert_eq!((settings.path, settings.switch_interval), (None, None));
        let expected =
            "python_path=/a:/b switch_interval=0.5 own_gil=1 restrict_stdin=1 restrict_stdout=0 restrict_signal=0";
        assert_eq!(layers(&lines, ""), [(Some("shop".to_owned()), expected.to_owned())]);
    }

    #[test]
    fn sections_come_by_the_number_of_their_selectors_and_then_in_their_order() {
        let mut lines = Vec::new();
        for (selectors, path) in [
            ("process-group=g application-group=a", "/both"),
            (" application-group=a", "/a"),
            (" Process-Group=g", "/g"),
            ("", "/none"),
            (" application-group=%{GLOBAL}", "/main"),
            (" process-group=%{GLOBAL}", "/embedded"),
            (" process-group=other", "/other"),
        ] {
            lines.push(format!("<WSGIInterpreterOptions {selectors}>"));
            lines.push(format!("WSGIPythonPath {path}"));
            lines.push("</WSGIInterpreterOptions>".to_owned());
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let paths = |group: &str| -> Vec<String> {
            layers(&lines, group).into_iter().map(|(_, said)| said.replace("python_path=", "")).collect()
        };
        assert_eq!(paths("g"), ["/none", "/a", "/g", "/main", "/both"]);
        assert_eq!(paths(""), ["/none", "/a", "/main", "/embedded"]);
        let groups: Vec<_> = layers(&lines, "").into_iter().map(|(group, _)| group).collect();
        assert_eq!(groups, [None, Some("a".to_owned()), Some(String::new()), None]);
    }

    #[test]
    fn other_directives_in_a_section_act_for_all() {
        let server = server(&["<WSGIInterpreterOptions>", "WSGIPythonHome /home", "</WSGIInterpreterOptions>"]);
        assert_eq!(PythonSettings::of(&server).home.as_deref(), Some(&b"/home"[..]));
    }

    #[test]
    fn what_is_wrong_with_a_section_is_said() {
        for (line, text) in [
            ("<WSGIInterpreterOptions process-group=a", "missing closing '>'"),
            ("<WSGIInterpreterOptions word>", "'word' is not of the form key=value"),
            ("<WSGIInterpreterOptions foo=b>", "unknown selector 'foo'"),
            ("<WSGIInterpreterOptions process-group=a process-group=b>", "'process-group' is given more than once"),
            (
                "<WSGIInterpreterOptions application-group=a Application-Group=a>",
                "'Application-Group' is given more than once",
            ),
            ("<WSGIInterpreterOptions process-group= >", "the selector 'process-group' is empty"),
        ] {
            let refused = refusal(line);
            assert!(refused.contains(text), "{refused}");
        }
    }

    #[test]
    fn selectors_may_be_quoted_and_hold_a_bracket() {
        let lines =
            ["<WSGIInterpreterOptions application-group=\"a > b\">", "WSGIPythonPath /x", "</WSGIInterpreterOptions>"];
        assert_eq!(layers(&lines, "")[0].0.as_deref(), Some("a > b"));
    }

    fn codes_of(lines: &[&str]) -> Vec<&'static str> {
        server(lines).remarks().iter().map(|remark| remark.code).collect()
    }

    #[test]
    fn what_has_no_effect_is_said() {
        assert_eq!(codes_of(&["WSGIFreeThreading On"]), [codes::NO_FREE_THREADING]);
        assert_eq!(codes_of(&["WSGIFreeThreading Off", "WSGIPerInterpreterGIL Off"]), [""; 0]);
        let within = |group: &str, line: &str| {
            let open = format!("<WSGIInterpreterOptions {group}>");
            codes_of(&[&open, line, "</WSGIInterpreterOptions>"])
        };
        assert_eq!(within("process-group=g", "WSGIFreeThreading On"), [codes::NO_FREE_THREADING]);
        assert_eq!(within("application-group=a", "WSGIFreeThreading On"), [codes::FREE_THREADING_OF_GROUP]);
        assert_eq!(within("application-group=%{GLOBAL}", "WSGIPerInterpreterGIL On"), [codes::NO_OWN_GIL]);
        assert_eq!(within("application-group=a", "WSGIPerInterpreterGIL On"), [codes::NEEDLESS_DIRECTIVE]);
    }

    #[test]
    fn own_gils_are_asked_for_inside_httpds_processes_alone() {
        let asks = |lines: &[&str]| PythonSettings::of(&server(lines)).asks_for_own_gils();
        assert!(!asks(&[]) && asks(&["WSGIPerInterpreterGIL On"]));
        let within = |selectors: &str| {
            let open = format!("<WSGIInterpreterOptions {selectors}>");
            asks(&[&open, "WSGIPerInterpreterGIL On", "</WSGIInterpreterOptions>"])
        };
        assert!(within("") && within("application-group=a") && within("process-group=%{GLOBAL}"));
        assert!(!within("process-group=g") && !within("application-group=%{GLOBAL}"));
    }

    #[test]
    fn a_virtual_host_has_the_main_servers_sections() {
        let main = server(&["<WSGIInterpreterOptions>", "WSGIPythonPath /x", "</WSGIInterpreterOptions>"]);
        let host = ServerWritten::merge(&main, &ServerWritten::default());
        assert_eq!(PythonSettings::of(&host), PythonSettings::of(&main));
    }
}
