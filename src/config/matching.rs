//! What an alias matches and what it makes of the URL.

use std::sync::Arc;

use super::written::Text;

/// Where the groups of a match begin and end; the first is the whole match.
pub type Groups = [Option<(usize, usize)>; 10];

/// A compiled regular expression of httpd's.
pub trait Pattern: Send + Sync {
    /// Searches `subject`; on a match fills `groups` with offsets in bytes and returns true.
    fn find(&self, subject: &[u8], groups: &mut Groups) -> bool;
}

/// What stands in the first place of an alias.
#[derive(Clone)]
pub(super) enum Url {
    Path(Text),
    Pattern(Arc<dyn Pattern>),
}

impl Url {
    /// The target with the rest of `uri` behind it, if `uri` matches.
    pub(super) fn filename(&self, target: &[u8], uri: &[u8]) -> Option<Vec<u8>> {
        let (mut filename, matched) = match self {
            Url::Path(path) => (target.to_vec(), matched_by_path(path, uri)?),
            Url::Pattern(pattern) => matched_by_pattern(&**pattern, target, uri)?,
        };
        // A match of the root alone takes nothing off the URL, or the path in the target would lack its slash.
        let is_root = uri[..matched].iter().all(|byte| *byte == b'/');
        filename.extend_from_slice(&uri[if is_root { 0 } else { matched }..]);
        Some(filename)
    }
}

/// How much of `uri` the path of an alias takes: byte for byte, a run of slashes being as good as any
/// other, and ending where a segment ends.
///
/// Source: httpd `alias_matches` (mod_alias.c).
fn matched_by_path(path: &[u8], uri: &[u8]) -> Option<usize> {
    let (mut in_path, mut in_uri) = (0, 0);
    while let Some(&byte) = path.get(in_path) {
        if uri.get(in_uri) != Some(&byte) {
            return None;
        }
        if byte == b'/' {
            in_path += slashes(&path[in_path..]);
            in_uri += slashes(&uri[in_uri..]);
        } else {
            in_path += 1;
            in_uri += 1;
        }
    }
    let at_boundary = path.ends_with(b"/") || uri.get(in_uri).is_none_or(|byte| *byte == b'/');
    at_boundary.then_some(in_uri)
}

fn slashes(text: &[u8]) -> usize {
    text.iter().take_while(|byte| **byte == b'/').count()
}

/// The target with its groups filled in, and where in `uri` the match ends. A match that ends where the
/// URL begins counts for nothing.
fn matched_by_pattern(pattern: &dyn Pattern, target: &[u8], uri: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut groups = Groups::default();
    if !pattern.find(uri, &mut groups) {
        return None;
    }
    let end = groups[0].map(|(_, end)| end).filter(|end| *end > 0 && *end <= uri.len())?;
    Some((substituted(target, uri, &groups), end))
}

/// Puts groups in the place of `$0` to `$9`; a backslash takes the next byte's meaning away.
///
/// Source: httpd `ap_pregsub` (server/util.c).
fn substituted(target: &[u8], uri: &[u8], groups: &Groups) -> Vec<u8> {
    let mut result = Vec::with_capacity(target.len() + uri.len());
    let mut bytes = target.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'$' => match bytes.next_if(u8::is_ascii_digit) {
                Some(digit) => result.extend_from_slice(group(uri, groups[usize::from(digit - b'0')])),
                None => result.push(byte),
            },
            b'\\' => result.push(bytes.next().unwrap_or(byte)),
            _ => result.push(byte),
        }
    }
    result
}

fn group(uri: &[u8], span: Option<(usize, usize)>) -> &[u8] {
    span.and_then(|(start, end)| uri.get(start..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::find_alias;
    use super::super::sample::server;

    fn mapped(lines: &[&str], uri: &str) -> Option<String> {
        let server = server(lines);
        find_alias(&server, uri.as_bytes()).map(|mapped| String::from_utf8_lossy(&mapped.filename).into_owned())
    }

    #[track_caller]
    fn maps(line: &str, uri: &str, filename: &str) {
        assert_eq!(mapped(&[line], uri).as_deref(), Some(filename), "{uri}");
    }

    #[track_caller]
    fn ignores(line: &str, uri: &str) {
        assert_eq!(mapped(&[line], uri), None, "{uri}");
    }

    #[test]
    fn an_alias_matches_at_segment_boundaries_only() {
        let line = "WSGIScriptAlias /one /s/app.wsgi";
        maps(line, "/one", "/s/app.wsgi");
        maps(line, "/one/", "/s/app.wsgi/");
        maps(line, "/one/x", "/s/app.wsgi/x");
        ignores(line, "/onex");
        ignores(line, "/on");
    }

    #[test]
    fn the_first_alias_in_the_list_wins_not_the_longest() {
        let long = "WSGIScriptAlias /a/b /long.wsgi";
        let short = "WSGIScriptAlias /a /short.wsgi";
        assert_eq!(mapped(&[short, long], "/a/b/c").as_deref(), Some("/short.wsgi/b/c"));
        assert_eq!(mapped(&[long, short], "/a/b/c").as_deref(), Some("/long.wsgi/c"));
    }

    #[test]
    fn the_root_alias_keeps_the_whole_url() {
        maps("WSGIScriptAlias / /app.wsgi", "/x/y", "/app.wsgi/x/y");
        maps("WSGIScriptAlias / /app.wsgi", "/", "/app.wsgi/");
        maps("WSGIScriptAlias / /app.wsgi", "//x", "/app.wsgi//x");
    }

    #[test]
    fn a_directory_target_works_with_and_without_slashes() {
        maps("WSGIScriptAlias /dir/ /scripts/", "/dir/name.wsgi/x", "/scripts/name.wsgi/x");
        maps("WSGIScriptAlias /dirx /scripts", "/dirx/name.wsgi/x", "/scripts/name.wsgi/x");
    }

    #[test]
    fn an_alias_with_a_trailing_slash_needs_it_in_the_url() {
        ignores("WSGIScriptAlias /dir/ /scripts/", "/dir");
        maps("WSGIScriptAlias /dir/ /scripts/", "/dir/", "/scripts/");
    }

    #[test]
    fn a_trailing_slash_on_the_alias_alone_runs_the_names_together() {
        maps("WSGIScriptAlias /s/ /app.wsgi/", "/s/z", "/app.wsgi/z");
        maps("WSGIScriptAlias /s/ /app.wsgi", "/s/z", "/app.wsgiz");
    }

    #[test]
    fn letters_must_have_the_same_case() {
        ignores("WSGIScriptAlias /one /app.wsgi", "/One");
    }

    #[test]
    fn a_run_of_slashes_matches_any_other() {
        maps("WSGIScriptAlias /m/two /app.wsgi", "//m//two//x", "/app.wsgi//x");
        maps("WSGIScriptAlias //m///two /app.wsgi", "/m/two/x", "/app.wsgi/x");
        ignores("WSGIScriptAlias /m/two /app.wsgi", "/mtwo");
    }

    #[test]
    fn what_is_no_path_is_declined() {
        ignores("WSGIScriptAliasMatch mid /app.wsgi", "*mid");
        ignores("WSGIScriptAliasMatch mid /app.wsgi", "");
    }

    #[test]
    fn a_match_fills_in_its_groups_and_appends_the_rest() {
        maps("WSGIScriptAliasMatch ^/m/([^/]+) /s/$1.wsgi", "/m/one/rest", "/s/one.wsgi/rest");
        maps("WSGIScriptAliasMatch ^/m/([^/]+) /s$0/$9$x\\$1", "/m/one", "/s/m/one/$x$1");
        ignores("WSGIScriptAliasMatch ^/m/([^/]+) /s/$1.wsgi", "/n/one");
    }

    #[test]
    fn a_match_may_stand_in_the_middle_of_the_url() {
        maps("WSGIScriptAliasMatch mid /app.wsgi", "/a/mid/b", "/app.wsgi/b");
    }

    #[test]
    fn a_group_behind_the_script_keeps_the_match_in_path_info() {
        maps("WSGIScriptAliasMatch ^/(adm|fil) /app.wsgi/$1", "/adm/x", "/app.wsgi/adm/x");
    }

    #[test]
    fn a_match_of_the_root_keeps_the_whole_url_and_an_empty_one_counts_for_nothing() {
        maps("WSGIScriptAliasMatch ^/ /app.wsgi", "/x", "/app.wsgi/x");
        ignores("WSGIScriptAliasMatch ^ /app.wsgi", "/x");
    }
}
