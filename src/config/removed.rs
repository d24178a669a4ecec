//! Directives that mod_wsgi had once and has no longer: accepted, so that an old configuration still loads, and each
//! answered with what it did and what to do now. The page for users is docs/removed-directives.md.

use super::directive::{Arguments, Context, Directive};
use crate::codes;

macro_rules! removed {
    ($($name:literal: $text:literal;)*) => {
        /// Every directive that is no more, the newest first.
        pub const REMOVED: &[Directive] = &[$(Directive {
            name: $name,
            context: Context::Anywhere,
            arguments: Arguments::Raw,
            help: c"accepted, without effect: mod_wsgi has it no longer",
            apply: |place, _| {
                place.remark(codes::REMOVED, concat!("accepted, without effect: ", $text), None);
                Ok(())
            },
        },)*];
    };
}

removed! {
    c"WSGILazyInitialization": "it put Python's start off until httpd's children run, which is now always so; take it out";
    c"WSGIPy3kWarningFlag": "it had Python 2 warn of what Python 3 does otherwise; take it out";
    c"WSGINewRelicConfigFile":
        "it started New Relic's agent; take it out, and have the script import newrelic.agent and call initialize() with that file";
    c"WSGINewRelicEnvironment":
        "it named the environment in New Relic's configuration; take it out, and have the script give it to \
         newrelic.agent.initialize()";
    c"WSGIUserAuthoritative":
        "it said whether other modules may look a user up too, before httpd 2.4; take it out, and list the providers \
         in AuthBasicProvider";
    c"WSGIReloadMechanism":
        "it chose between loading a script and a process anew; take it out: in daemon mode processes are replaced, in \
         embedded mode scripts are loaded again (WSGIScriptReloading)";
    c"WSGIPythonExecutable": "it named Python's executable; take it out, and name the Python's prefix with WSGIPythonHome";
    c"WSGIOutputBuffering":
        "it kept a response until it was whole; take it out: blocks are sent as they come, and the option \
         response-flush-delay of a process group gathers small ones";
    c"WSGIApacheExtensions": "it showed applications httpd's own request; take it out, or write WSGIPassApacheRequest";
    c"WSGIServerGroup": "it named what is now the application group; take it out, and write WSGIApplicationGroup";
}

/// Options of `WSGIDaemonProcess` that are no more, and what they did.
pub(super) const REMOVED_OPTIONS: [(&str, &str); 2] = [
    (
        "newrelic-config-file",
        "it started New Relic's agent; take it out, and have the script import newrelic.agent and call initialize() with that file",
    ),
    (
        "newrelic-environment",
        "it named the environment in New Relic's configuration; take it out, and have the script give it to \
         newrelic.agent.initialize()",
    ),
];

#[cfg(test)]
mod tests {
    use super::super::sample::{section, server};
    use super::super::{DIRECTIVES, ServerWritten};
    use super::*;

    fn texts(server: &ServerWritten) -> Vec<String> {
        server.remarks().iter().map(|remark| format!("{} {}", remark.code, remark.text)).collect()
    }

    #[test]
    fn each_is_accepted_with_one_word_about_it_whatever_its_arguments() {
        for row in REMOVED {
            let name = row.name.to_str().expect("ASCII");
            for arguments in ["", " On", " one \"two words\" three=four"] {
                let [text] = &texts(&server(&[&format!("{name}{arguments}")]))[..] else { unreachable!("one remark") };
                assert!(
                    text.starts_with(&format!("{} {name} (", codes::REMOVED)) && text.contains("take it out"),
                    "{text}"
                );
            }
            section(&[name]);
        }
    }

    #[test]
    fn none_is_a_directive() {
        assert!(REMOVED.iter().all(|removed| DIRECTIVES.iter().all(|row| row.name != removed.name)));
    }

    #[test]
    fn an_option_that_is_no_more_is_accepted_with_a_word_about_it() {
        let server = server(&["WSGIDaemonProcess a newrelic-config-file=/x threads=2 newrelic-environment="]);
        let texts = texts(&server);
        assert_eq!(texts.len(), 2);
        assert!(
            texts[0].contains("the option newrelic-config-file")
                && texts[1].contains("the option newrelic-environment")
        );
    }

    #[test]
    fn the_page_for_users_has_all_of_them() {
        let page = include_str!("../../docs/removed-directives.md");
        let options = REMOVED_OPTIONS.iter().map(|(name, _)| *name);
        for name in REMOVED.iter().map(|row| row.name.to_str().expect("ASCII")).chain(options) {
            assert!(page.contains(&format!("\n| `{name}` | ")), "{name}");
        }
    }
}
