//! Configurations in small, for the tests of this room.

use std::sync::Arc;

use super::directive::{Arguments, DIRECTIVES, Place};
use super::matching::Groups;
use super::word::Words;
use super::{DirectoryWritten, Pattern, Refusal, ServerWritten};

/// What a server says in these lines.
pub(super) fn server(lines: &[&str]) -> ServerWritten {
    let mut server = ServerWritten::default();
    for line in lines {
        apply(line, &mut server, None, false).expect(line);
    }
    server
}

/// What a section says in these lines.
pub(super) fn section(lines: &[&str]) -> DirectoryWritten {
    let mut section = DirectoryWritten::default();
    for line in lines {
        apply(line, &mut ServerWritten::default(), Some(&mut section), false).expect(line);
    }
    section
}

/// The text with which a line of the main server is refused.
pub(super) fn refusal(line: &str) -> String {
    apply(line, &mut ServerWritten::default(), None, false).expect_err(line).to_string()
}

/// As [`refusal`], in a virtual host.
pub(super) fn virtual_refusal(line: &str) -> String {
    apply(line, &mut ServerWritten::default(), None, true).expect_err(line).to_string()
}

fn apply(
    line: &str,
    server: &mut ServerWritten,
    directory: Option<&mut DirectoryWritten>,
    is_virtual: bool,
) -> Result<(), Refusal> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let directive = DIRECTIVES.iter().find(|row| row.name.to_bytes() == name.as_bytes()).expect("a directive");
    let server_name = Some(b"www.example.com".to_vec());
    let line = Some(format!("{name} (httpd.conf, line 7)"));
    let mut place = Place { server, directory, compile: &compile, server_name, is_virtual, line };
    match directive.arguments {
        Arguments::Raw => directive.read(&mut place, rest.as_bytes(), rest.as_bytes()),
        Arguments::One => {
            let word = Words::of(rest.as_bytes()).word().expect("one argument");
            directive.read(&mut place, &word, rest.as_bytes())
        }
    }
}

/// Stands for httpd's regular expressions: knows the few that the tests use.
struct Known(Find);

type Find = fn(&str) -> Option<Vec<(usize, usize)>>;

impl Pattern for Known {
    fn find(&self, subject: &[u8], groups: &mut Groups) -> bool {
        let found = std::str::from_utf8(subject).ok().and_then(self.0);
        for (group, span) in groups.iter_mut().zip(found.iter().flatten()) {
            *group = Some(*span);
        }
        found.is_some()
    }
}

fn compile(source: &[u8]) -> Option<Arc<dyn Pattern>> {
    let known = match source {
        b"^/m/([^/]+)" => Known(|uri| {
            let name = uri.strip_prefix("/m/")?.split('/').next()?;
            let end = 3 + name.len();
            (!name.is_empty()).then(|| vec![(0, end), (3, end)])
        }),
        b"^/(adm|fil)" => Known(|uri| {
            let is_found = uri.starts_with("/adm") || uri.starts_with("/fil");
            is_found.then(|| vec![(0, 4), (1, 4)])
        }),
        b"mid" => Known(|uri| uri.find("mid").map(|start| vec![(start, start + 3)])),
        b"^/" => Known(|uri| uri.starts_with('/').then(|| vec![(0, 1)])),
        b"^" => Known(|_| Some(vec![(0, 0)])),
        _ => return None,
    };
    Some(Arc::new(known))
}
