//! What a request runs on: the section's value if set, else the server's, else the default; the
//! own options of an alias or handler before all of them.

use std::borrow::Cow;

use gateway::proxy::Policy;

use super::alias::Alias;
use super::asked::AskedScript;
use super::expand::{self, Names, expand_callable};
use super::handler::{self, HandlerScript};
use super::python;
use super::script::ScriptOptions;
use super::written::{DirectoryWritten, ServerWritten};

/// Whether an application sees a HEAD request as GET, so that output filters get the whole response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadMapping {
    /// Only if a filter that changes the content is in the chain.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// The settings of one request. Three references: copy it freely.
#[derive(Clone, Copy)]
pub struct Settled<'a> {
    server: &'a ServerWritten,
    directory: &'a DirectoryWritten,
    options: Option<&'a ScriptOptions>,
}

impl<'a> Settled<'a> {
    /// Of a request to this (merged) server that fell into this (merged) section.
    pub fn of(server: &'a ServerWritten, directory: &'a DirectoryWritten) -> Settled<'a> {
        Settled { server, directory, options: None }
    }

    /// The same for a request that this alias mapped to its script.
    pub fn mapped_by(self, alias: &'a Alias) -> Settled<'a> {
        Settled { options: Some(&alias.options), ..self }
    }

    /// The same for a request that this handler answers.
    pub fn handled_by(self, handler: &'a HandlerScript) -> Settled<'a> {
        Settled { options: Some(&handler.options), ..self }
    }

    /// The script of `WSGIHandlerScript` behind a handler's name.
    pub fn handler_script(&self, name: &[u8]) -> Option<&'a HandlerScript> {
        self.value(|written| handler::find(written.handlers.as_ref()?, name))
    }

    /// Whether `Authorization` is shown to the application.
    pub fn pass_authorization(&self) -> bool {
        let by_alias = self.options.and_then(|options| options.pass_authorization);
        by_alias.or_else(|| self.value(|written| written.pass_authorization)).unwrap_or(false)
    }

    /// Whether a changed script is loaded anew.
    pub fn script_reloading(&self) -> bool {
        self.value(|written| written.script_reloading).unwrap_or(true)
    }

    /// Whether httpd's error documents replace the application's.
    pub fn error_override(&self) -> bool {
        self.value(|written| written.error_override).unwrap_or(false)
    }

    /// Whether a request body of unknown length is accepted.
    pub fn chunked_request(&self) -> bool {
        self.value(|written| written.chunked_request).unwrap_or(false)
    }

    /// Whether the application sees HEAD as GET.
    pub fn map_head_to_get(&self) -> HeadMapping {
        self.value(|written| written.map_head_to_get).unwrap_or(HeadMapping::Auto)
    }

    /// Whether files of `wsgi.file_wrapper` may be sent with sendfile.
    pub fn enable_sendfile(&self) -> bool {
        self.value(|written| written.enable_sendfile).unwrap_or(false)
    }

    /// Whether the request leaves the process's inactivity timer alone.
    pub fn ignore_activity(&self) -> bool {
        self.value(|written| written.ignore_activity).unwrap_or(false)
    }

    /// Whether an embedded application gets httpd's own request.
    pub fn pass_apache_request(&self) -> bool {
        self.value(|written| written.pass_apache_request).unwrap_or(false)
    }

    /// What is believed of headers that proxies write; `None` if nothing is.
    pub fn trusted_proxies(&self) -> Option<Policy<'a>> {
        let headers = self.value(|written| written.trusted_proxy_headers.as_deref())?;
        let proxies = self.value(|written| written.trusted_proxies.as_deref());
        (!headers.is_empty()).then_some(Policy { headers, proxies })
    }

    /// Whether applications may not run inside httpd's children.
    pub fn restrict_embedded(&self) -> bool {
        self.server.python.restrict_embedded.unwrap_or(false)
    }

    /// Whether names of files differ by case.
    pub fn case_sensitive(&self) -> bool {
        python::case_sensitive(self.server)
    }

    /// The process group before expansion; `None` and the empty name are embedded.
    pub fn process_group(&self) -> Option<&'a [u8]> {
        let by_alias = self.options.and_then(|options| options.process_group.as_deref());
        by_alias.or_else(|| self.value(|written| written.process_group.as_deref()))
    }

    /// Whether `WSGIRestrictProcess` lets the request run in this process group (expanded; empty is embedded).
    ///
    /// Case does not count here, though groups of different case are different ones: mod_wsgi has it so.
    pub fn may_use(&self, process_group: &[u8]) -> bool {
        let allowed = self.value(|written| written.restrict_process.as_deref());
        allowed.is_none_or(|names| names.iter().any(|name| name.eq_ignore_ascii_case(process_group)))
    }

    /// The application group before expansion; `None` stands for `%{RESOURCE}`.
    pub fn application_group(&self) -> Option<&'a [u8]> {
        let by_alias = self.options.and_then(|options| options.application_group.as_deref());
        by_alias.or_else(|| self.value(|written| written.application_group.as_deref()))
    }

    /// What `WSGICallableObject` says, before expansion.
    pub fn callable_object(&self) -> &'a [u8] {
        self.value(|written| written.callable_object.as_deref()).unwrap_or(expand::DEFAULT_CALLABLE)
    }

    /// The name of the application object in the script: the alias's, literally, else
    /// [`Settled::callable_object`], expanded.
    pub fn callable(&self, names: &dyn Names) -> Cow<'a, [u8]> {
        match self.options.and_then(|options| options.callable_object.as_deref()) {
            Some(literal) => Cow::Borrowed(literal),
            None => expand_callable(self.callable_object(), names),
        }
    }

    /// Who decides whether a client is let in.
    pub fn access_script(&self) -> Option<&'a AskedScript> {
        self.value(|written| written.access_script.as_deref())
    }

    /// Who knows passwords.
    pub fn user_script(&self) -> Option<&'a AskedScript> {
        self.value(|written| written.user_script.as_deref())
    }

    /// Who knows groups.
    pub fn group_script(&self) -> Option<&'a AskedScript> {
        self.value(|written| written.group_script.as_deref())
    }

    /// Who decides where applications run.
    pub fn dispatch_script(&self) -> Option<&'a AskedScript> {
        self.value(|written| written.dispatch_script.as_deref())
    }

    fn value<T>(&self, of: impl Fn(&'a DirectoryWritten) -> Option<T>) -> Option<T> {
        of(self.directory).or_else(|| of(&self.server.outside))
    }
}

#[cfg(test)]
mod tests {
    use super::super::find_alias;
    use super::super::sample::{section, server};
    use super::*;

    #[test]
    fn nothing_said_means_the_defaults() {
        let (server, directory) = (ServerWritten::default(), DirectoryWritten::default());
        let settled = Settled::of(&server, &directory);
        assert!(!settled.pass_authorization());
        assert!(settled.script_reloading());
        assert!(!settled.error_override());
        assert!(!settled.chunked_request());
        assert_eq!(settled.map_head_to_get(), HeadMapping::Auto);
        assert!(!settled.enable_sendfile());
        assert!(!settled.ignore_activity() && !settled.pass_apache_request());
        assert!(!settled.restrict_embedded());
        assert_eq!(settled.callable_object(), b"application");
        assert_eq!(settled.application_group(), None);
        assert_eq!(settled.process_group(), None);
        assert!(settled.may_use(b"") && settled.may_use(b"any"));
    }

    #[test]
    fn every_setting_reaches_the_request_from_server_and_section() {
        let lines = [
            "WSGIPassAuthorization On",
            "WSGIScriptReloading Off",
            "WSGIErrorOverride On",
            "WSGIChunkedRequest On",
            "WSGIMapHEADToGET Off",
            "WSGIEnableSendfile On",
            "WSGIIgnoreActivity On",
            "WSGIPassApacheRequest On",
            "WSGICallableObject app",
            "WSGIApplicationGroup group",
            "WSGIProcessGroup daemons",
            "WSGIRestrictProcess daemons",
        ];
        let nothing = (ServerWritten::default(), DirectoryWritten::default());
        for settled in [Settled::of(&server(&lines), &nothing.1), Settled::of(&nothing.0, &section(&lines))] {
            assert!(settled.pass_authorization());
            assert!(!settled.script_reloading());
            assert!(settled.error_override());
            assert!(settled.chunked_request());
            assert_eq!(settled.map_head_to_get(), HeadMapping::Off);
            assert!(settled.enable_sendfile());
            assert!(settled.ignore_activity() && settled.pass_apache_request());
            assert_eq!(settled.callable_object(), b"app");
            assert_eq!(settled.application_group(), Some(&b"group"[..]));
            assert_eq!(settled.process_group(), Some(&b"daemons"[..]));
            assert!(settled.may_use(b"daemons") && !settled.may_use(b""));
        }
    }

    #[test]
    fn off_in_a_virtual_host_beats_on_in_the_main_server_and_unset_inherits() {
        let main = server(&["WSGIPassAuthorization On", "WSGIRestrictEmbedded On", "WSGICaseSensitivity Off"]);
        let off = ServerWritten::merge(&main, &server(&["WSGIPassAuthorization Off"]));
        let unset = ServerWritten::merge(&main, &ServerWritten::default());
        let directory = DirectoryWritten::default();
        assert!(!Settled::of(&off, &directory).pass_authorization());
        assert!(Settled::of(&unset, &directory).pass_authorization());
        assert!(Settled::of(&off, &directory).restrict_embedded());
        assert!(!Settled::of(&off, &directory).case_sensitive());
    }

    #[test]
    fn a_section_beats_the_virtual_host_wherever_it_stands() {
        let host = ServerWritten::merge(&server(&[]), &server(&["WSGIChunkedRequest Off", "WSGICallableObject host"]));
        let main_section = section(&["WSGIChunkedRequest On"]);
        let settled = Settled::of(&host, &main_section);
        assert!(settled.chunked_request());
        assert_eq!(settled.callable_object(), b"host");
    }

    #[test]
    fn an_inner_section_beats_an_outer_one_value_by_value() {
        let outer = section(&["WSGIApplicationGroup outer", "WSGIMapHEADToGET On", "WSGIErrorOverride On"]);
        let inner = section(&["WSGIApplicationGroup inner", "WSGIErrorOverride Off"]);
        let (server, merged) = (ServerWritten::default(), DirectoryWritten::merge(&outer, &inner));
        let settled = Settled::of(&server, &merged);
        assert_eq!(settled.application_group(), Some(&b"inner"[..]));
        assert_eq!(settled.map_head_to_get(), HeadMapping::On);
        assert!(!settled.error_override());
    }

    #[test]
    fn a_repeated_directive_counts_as_its_last_use() {
        let server =
            server(&["WSGIErrorOverride On", "WSGIErrorOverride Off", "WSGICallableObject a", "WSGICallableObject b"]);
        let directory = DirectoryWritten::default();
        let settled = Settled::of(&server, &directory);
        assert!(!settled.error_override());
        assert_eq!(settled.callable_object(), b"b");
    }

    #[test]
    fn only_listed_process_groups_may_be_used_in_any_case() {
        let directory = section(&["WSGIRestrictProcess one \"two words\" %{GLOBAL}"]);
        let server = ServerWritten::default();
        let settled = Settled::of(&server, &directory);
        assert!(settled.may_use(b"one") && settled.may_use(b"ONE") && settled.may_use(b"two words"));
        assert!(settled.may_use(b""));
        assert!(!settled.may_use(b"two"));
    }

    #[test]
    fn a_list_of_process_groups_replaces_the_one_before_and_the_outer_one() {
        let server = server(&["WSGIRestrictProcess a b", "WSGIRestrictProcess b"]);
        let inner = DirectoryWritten::merge(&section(&["WSGIRestrictProcess a"]), &section(&["WSGIRestrictProcess c"]));
        let nothing = DirectoryWritten::default();
        assert!(!Settled::of(&server, &nothing).may_use(b"a") && Settled::of(&server, &nothing).may_use(b"b"));
        assert!(!Settled::of(&server, &inner).may_use(b"b") && Settled::of(&server, &inner).may_use(b"c"));
        let empty = section(&["WSGIRestrictProcess"]);
        assert!(!Settled::of(&server, &empty).may_use(b"b") && !Settled::of(&server, &empty).may_use(b""));
    }

    #[test]
    fn an_aliass_process_group_beats_the_sections_and_that_the_servers() {
        let server = server(&[
            "WSGIProcessGroup of-server",
            "WSGIScriptAlias /a /x process-group=of-alias",
            "WSGIScriptAlias /b /x",
            "WSGIScriptAlias /c /x process-group=%{GLOBAL}",
        ]);
        let (directory, nothing) = (section(&["WSGIProcessGroup of-section"]), DirectoryWritten::default());
        let group = |uri: &[u8], directory| {
            let settled = Settled::of(&server, directory);
            settled.mapped_by(find_alias(&server, uri).expect("mapped").alias).process_group()
        };
        assert_eq!(group(b"/a", &directory), Some(&b"of-alias"[..]));
        assert_eq!(group(b"/b", &directory), Some(&b"of-section"[..]));
        assert_eq!(group(b"/b", &nothing), Some(&b"of-server"[..]));
        assert_eq!(group(b"/c", &directory), Some(&b""[..]));
    }

    #[test]
    fn aliases_of_the_main_server_work_in_every_virtual_host_after_its_own() {
        let main = server(&["WSGIScriptAlias /a /main-a", "WSGIScriptAlias /b /main-b"]);
        let host = ServerWritten::merge(&main, &server(&["WSGIScriptAlias /a /host-a"]));
        let file = |uri: &[u8]| find_alias(&host, uri).expect("mapped").filename;
        assert_eq!(file(b"/a"), b"/host-a");
        assert_eq!(file(b"/b"), b"/main-b");
    }

    #[test]
    fn options_of_an_alias_beat_sections_and_servers() {
        let server = server(&[
            "WSGIScriptAlias /set /x application-group=%{GLOBAL} process-group=%{SERVER} pass-authorization=Off",
            "WSGIScriptAlias /unset /x",
        ]);
        let directory = section(&["WSGIPassAuthorization On", "WSGIApplicationGroup other"]);
        let settled =
            |uri: &[u8]| Settled::of(&server, &directory).mapped_by(find_alias(&server, uri).expect("mapped").alias);
        assert!(!settled(b"/set").pass_authorization());
        assert_eq!(settled(b"/set").application_group(), Some(&b""[..]));
        assert_eq!(settled(b"/set").process_group(), Some(&b"%{SERVER}"[..]));
        assert!(settled(b"/unset").pass_authorization());
        assert_eq!(settled(b"/unset").application_group(), Some(&b"other"[..]));
    }
}
