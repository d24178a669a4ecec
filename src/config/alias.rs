//! Maps URLs to scripts: `WSGIScriptAlias` and `WSGIScriptAliasMatch`, one list, the first match wins.

use std::sync::Arc;

use super::directive::Place;
use super::import::Import;
use super::matching::Url;
use super::script::{Definition, ScriptOptions};
use super::value::{Refusal, shown};
use super::word::Words;
use super::written::{ServerWritten, Text};
use crate::codes;

const DEFINITION: Definition = Definition {
    what: "script alias",
    accepted: "process-group=, application-group=, callable-object=, pass-authorization=On|Off",
    has_callable: true,
    has_authorization: true,
};

/// One line of the list.
#[derive(Clone)]
pub struct Alias {
    url: Url,
    target: Text,
    /// What the line says about its scripts.
    pub options: ScriptOptions,
}

/// What a URL is mapped to.
pub struct Mapped<'c> {
    /// The target with the rest of the URL appended; httpd finds the script and PATH_INFO in it.
    pub filename: Vec<u8>,
    /// The line that matched.
    pub alias: &'c Alias,
}

/// The first alias of the server that matches `uri` (decoded, as httpd holds it), if any does.
pub fn find_alias<'c>(server: &'c ServerWritten, uri: &[u8]) -> Option<Mapped<'c>> {
    if uri.first() != Some(&b'/') {
        return None;
    }
    server.aliases.iter().find_map(|alias| Some(Mapped { filename: alias.url.filename(&alias.target, uri)?, alias }))
}

impl Alias {
    /// Whether a regular expression maps the URLs.
    pub fn is_pattern(&self) -> bool {
        matches!(self.url, Url::Pattern(_))
    }

    fn preload_groups(&self) -> Option<(&Text, &Text)> {
        let is_fixed = match self.url {
            Url::Path(_) => true,
            Url::Pattern(_) => !self.target.contains(&b'$'),
        };
        self.options.literal_groups().filter(|_| is_fixed)
    }

    /// Why the rest of a URL is joined to the target's last name, and what to write instead; `None` if it is not.
    ///
    /// httpd's own aliases do the same, and directories of scripts rely on it, so the mapping stays as it is.
    pub fn joins_names(&self) -> Option<String> {
        let Url::Path(url) = &self.url else { return None };
        let stem = &url[..url.iter().rposition(|byte| *byte != b'/')? + 1];
        if stem.len() == url.len() || self.target.ends_with(b"/") {
            return None;
        }
        let (url, stem, target) = (shown(url), shown(stem), shown(&self.target));
        Some(format!(
            "the URL path '{url}' ends in a slash and the target '{target}' does not, so the rest of a URL is joined to the \
             target's name; write WSGIScriptAlias {stem} {target} for a script, WSGIScriptAlias {stem}/ {target}/ for a \
             directory of scripts"
        ))
    }

    /// What of a mapped file name follows the target, if the target may be a file with PATH_INFO behind it.
    ///
    /// Not what httpd would have to make canonical, and not a target that is written as a directory.
    pub fn rest_behind_file<'f>(&self, filename: &'f [u8]) -> Option<&'f [u8]> {
        if self.is_pattern() || self.target.ends_with(b"/") {
            return None;
        }
        let rest = filename.strip_prefix(&*self.target).filter(|rest| rest.starts_with(b"/"))?;
        let is_canonical = !rest.windows(2).any(|pair| pair == b"//" || pair == b"/.");
        is_canonical.then_some(rest)
    }

    /// [`Alias::joins_names`], if something was joined to the target in this file name.
    pub fn joins_names_in(&self, filename: &[u8]) -> Option<String> {
        if filename.len() > self.target.len() { self.joins_names() } else { None }
    }

    /// Says of a new alias what its writer would want to know.
    fn remark(&self, place: &mut Place<'_>) {
        if let Url::Path(url) = &self.url
            && !url.starts_with(b"/")
        {
            let url = shown(url);
            place.remark(
                codes::ODD_ALIAS,
                &format!("'{url}' does not begin with a slash, so it matches no URL; write /{url}"),
                None,
            );
        }
        // What a pattern's target begins with may come from the URL.
        let may_be_absolute = self.target.starts_with(b"/") || (self.is_pattern() && self.target.starts_with(b"$"));
        if !may_be_absolute {
            let text = format!(
                "the target '{}' is no absolute path, so it is sought in the directory that httpd happens to run in; write the whole path",
                shown(&self.target)
            );
            place.remark(codes::ODD_ALIAS, &text, None);
        }
        if let Some(text) = self.joins_names() {
            place.remark(codes::JOINED_NAMES, &text, Some(self.target.clone()));
        }
    }

    // `app.wsgi/` is a common target under an alias that ends in a slash.
    fn script(&self) -> &[u8] {
        let end = self.target.iter().rposition(|byte| *byte != b'/').map_or(self.target.len(), |last| last + 1);
        &self.target[..end]
    }
}

/// `WSGIScriptAlias URL-path target [options]`
pub(super) fn script_alias(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    add(place, line, "WSGIScriptAlias", |_, path| Ok(Url::Path(path.into())))
}

/// `WSGIScriptAliasMatch regex target [options]`
pub(super) fn script_alias_match(place: &mut Place<'_>, line: &[u8]) -> Result<(), Refusal> {
    add(place, line, "WSGIScriptAliasMatch", |place, source| {
        (place.compile)(source).map(Url::Pattern).ok_or_else(|| {
            Refusal::new(format!(
                "Regular expression could not be compiled: '{}'; accepted are Perl-compatible ones",
                shown(source)
            ))
        })
    })
}

fn add(
    place: &mut Place<'_>,
    line: &[u8],
    directive: &str,
    url: fn(&Place<'_>, &[u8]) -> Result<Url, Refusal>,
) -> Result<(), Refusal> {
    let mut words = Words::of(line);
    let (source, target) = (words.word(), words.word());
    if let (Some(source), Some(target)) = (&source, &target)
        && (source.is_empty() || target.is_empty())
    {
        let what = if source.is_empty() { "what to match" } else { "the file or directory that answers" };
        return Err(Refusal::new(format!(
            "{directive} requires at least two arguments, and {what} is an empty one; given was '{}'",
            shown(line.trim_ascii())
        )));
    }
    let filled = |word: Option<Vec<u8>>| word.filter(|word| !word.is_empty());
    let (Some(source), Some(target)) = (filled(source), filled(target)) else {
        let hint = if Words::of(line).leaves_quote_open() { ", in which a quote is not closed" } else { "" };
        return Err(Refusal::new(format!(
            "{directive} requires at least two arguments, what to match and the file or directory that answers; \
             given was '{}'{hint}",
            shown(line.trim_ascii())
        )));
    };
    let options = ScriptOptions::read(&mut words, &DEFINITION)?;
    let alias = Alias { url: url(place, &source)?, target: target.into(), options };
    if let Some(process_group) = &alias.options.process_group {
        place.direct_to(process_group);
    }
    if let Some((process_group, application_group)) = alias.preload_groups() {
        let mut import = Import::next(alias.script(), process_group, application_group, place);
        import.is_aliased = true;
        place.server.imports.push(import);
    }
    if words.has_open_quote() {
        place.remark_open_quote();
    }
    alias.remark(place);
    place.remark_macros(&alias.options);
    place.server.aliases.push(Arc::new(alias));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{refusal, server};
    use super::*;

    #[test]
    fn options_and_quoted_names_reach_the_alias() {
        let server =
            server(&["WSGIScriptAlias /a \"/my site/app.wsgi\" process-group=%{ENV:G} application-group=%{GLOBAL} \
               callable-object=app pass-authorization=ON"]);
        let mapped = find_alias(&server, b"/a/x").expect("mapped");
        assert_eq!(mapped.filename, b"/my site/app.wsgi/x");
        let options = &mapped.alias.options;
        assert_eq!(options.process_group.as_deref(), Some(&b"%{ENV:G}"[..]));
        assert_eq!(options.application_group.as_deref(), Some(&b""[..]));
        assert_eq!(options.callable_object.as_deref(), Some(&b"app"[..]));
        assert_eq!(options.pass_authorization, Some(true));
    }

    #[test]
    fn the_last_of_a_repeated_option_counts() {
        let server = server(&["WSGIScriptAlias /a /b callable-object=x callable-object=y pass-authorization=off"]);
        let options = &server.aliases[0].options;
        assert_eq!(options.callable_object.as_deref(), Some(&b"y"[..]));
        assert_eq!(options.pass_authorization, Some(false));
    }

    #[test]
    fn an_alias_without_url_or_target_is_refused() {
        for line in ["WSGIScriptAlias /x", "WSGIScriptAlias", "WSGIScriptAlias \"\" /x", "WSGIScriptAliasMatch ^/x"] {
            assert!(refusal(line).contains("requires at least two arguments"), "{line}");
        }
    }

    #[test]
    fn a_refusal_says_if_a_quote_is_not_closed() {
        let refused = refusal("WSGIScriptAlias \"/x /srv/app.wsgi");
        assert!(refused.ends_with("given was '\"/x /srv/app.wsgi', in which a quote is not closed"), "{refused}");
    }

    #[track_caller]
    fn remarked(line: &str) -> Vec<(&'static str, String)> {
        server(&[line]).remarks().iter().map(|remark| (remark.code, remark.text.clone())).collect()
    }

    #[test]
    fn what_lacks_a_leading_slash_is_remarked_with_the_line() {
        assert_eq!(
            remarked("WSGIScriptAlias app /srv/app.wsgi"),
            [(
                codes::ODD_ALIAS,
                "WSGIScriptAlias (httpd.conf, line 7): 'app' does not begin with a slash, so it matches no URL; write /app"
                    .to_owned()
            )]
        );
        let [(code, text)] = &remarked("WSGIScriptAliasMatch mid app.wsgi")[..] else { panic!("one remark") };
        assert_eq!(*code, codes::ODD_ALIAS);
        assert!(text.contains("'app.wsgi' is no absolute path"), "{text}");
    }

    #[test]
    fn joined_names_are_remarked_if_the_target_exists() {
        let server = server(&["WSGIScriptAlias /a// /srv/app.wsgi"]);
        let [remark] = server.remarks() else { panic!("one remark") };
        assert_eq!((remark.code, remark.only_with.as_deref()), (codes::JOINED_NAMES, Some(&b"/srv/app.wsgi"[..])));
        assert!(remark.text.contains("write WSGIScriptAlias /a /srv/app.wsgi for a script"), "{}", remark.text);
    }

    #[test]
    fn only_a_plain_rest_behind_a_plain_target_is_path_info_for_sure() {
        let rest = |line: &str, filename: &'static str| {
            let server = server(&[line]);
            server.aliases[0]
                .rest_behind_file(filename.as_bytes())
                .map(|rest| String::from_utf8_lossy(rest).into_owned())
        };
        let plain = "WSGIScriptAlias /a /srv/app.wsgi";
        assert_eq!(rest(plain, "/srv/app.wsgi/x/").as_deref(), Some("/x/"));
        for filename in ["/srv/app.wsgi", "/srv/app.wsgix", "/srv/app.wsgi//x", "/srv/app.wsgi/../x", "/other/x"] {
            assert_eq!(rest(plain, filename), None, "{filename}");
        }
        assert_eq!(rest("WSGIScriptAlias /a/ /srv/scripts/", "/srv/scripts/app.wsgi"), None);
        assert_eq!(rest("WSGIScriptAliasMatch mid /srv/app.wsgi", "/srv/app.wsgi/x"), None);
    }

    #[test]
    fn an_open_quote_is_remarked_whatever_the_directive() {
        for line in [
            "WSGIScriptAlias /a \"/srv/app.wsgi",
            "WSGIScriptAlias /a /srv/app.wsgi callable-object=\"a",
            "WSGIImportScript /x process-group=%{GLOBAL} application-group='a",
            "WSGIPythonPath \"/a b",
        ] {
            assert!(matches!(&remarked(line)[..], [(codes::OPEN_QUOTE, _)]), "{line}");
        }
    }

    #[test]
    fn what_is_usual_is_not_remarked() {
        for line in [
            "WSGIScriptAlias / /srv/app.wsgi",
            "WSGIScriptAlias // /srv/app.wsgi",
            "WSGIScriptAlias /a/ /srv/scripts/",
            "WSGIScriptAlias /a '/srv/app.wsgi'",
            "WSGIScriptAliasMatch ^/m/([^/]+) $1",
            "WSGIPythonPath '/a b'",
        ] {
            assert_eq!(remarked(line), [], "{line}");
        }
        let host = ServerWritten::merge(&server(&["WSGIScriptAlias a /b"]), &ServerWritten::default());
        assert_eq!(host.remarks(), [], "said of the main server already");
    }

    #[test]
    fn unknown_options_and_bare_words_are_refused_with_what_is_accepted() {
        assert_eq!(
            refusal("WSGIScriptAlias /x /y foo=bar"),
            "Invalid option to WSGI script alias definition: 'foo=bar'; accepted are process-group=, \
             application-group=, callable-object=, pass-authorization=On|Off"
        );
        for line in [
            "WSGIScriptAlias /x /y foo",
            "WSGIScriptAlias /x /y process-group = a",
            "WSGIScriptAlias /x /y Process-Group=a",
        ] {
            assert!(refusal(line).contains("Invalid option to WSGI script alias definition"), "{line}");
        }
    }

    #[test]
    fn empty_options_are_refused_each_by_its_name() {
        for (option, message) in [
            ("process-group=", "Invalid name for WSGI process group"),
            ("application-group=\"\"", "Invalid name for WSGI application group"),
            ("callable-object=", "Invalid name for WSGI callable object"),
            ("pass-authorization=maybe", "Invalid value for authorization flag"),
        ] {
            assert!(refusal(&format!("WSGIScriptAlias /x /y {option}")).contains(message), "{option}");
        }
    }

    #[test]
    fn a_malformed_expression_is_refused() {
        assert_eq!(
            refusal("WSGIScriptAliasMatch \"(\" /x"),
            "Regular expression could not be compiled: '('; accepted are Perl-compatible ones"
        );
    }

    #[test]
    fn only_an_alias_that_fixes_everything_is_preloaded() {
        let preload = |line: &str| {
            let server = server(&[line]);
            server.imports.first().map(|import| (import.script.to_vec(), import.application_group.to_vec()))
        };
        let both = "process-group=%{GLOBAL} application-group=";
        assert_eq!(
            preload(&format!("WSGIScriptAlias /x /y.wsgi/ {both}%{{GLOBAL}}")),
            Some((b"/y.wsgi".to_vec(), b"".to_vec()))
        );
        assert_eq!(
            preload(&format!("WSGIScriptAliasMatch mid /y.wsgi {both}a")),
            Some((b"/y.wsgi".to_vec(), b"a".to_vec()))
        );
        assert_eq!(preload(&format!("WSGIScriptAlias /x /y {both}%{{ENV:X}}")), None);
        assert_eq!(preload(&format!("WSGIScriptAliasMatch ^/(adm|fil) /$1 {both}a")), None);
        assert_eq!(preload("WSGIScriptAlias /x /y application-group=a"), None);
        assert_eq!(preload("WSGIScriptAlias /x /y process-group=%{GLOBAL}"), None);
    }
}
