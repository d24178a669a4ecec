//! The environ keys that both halves know by number.
//!
//! A known key crosses as two bytes and meets, in each interpreter, a string object made once. Names
//! that a client chooses never get a number and are never interned.

macro_rules! keys {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// An environ key known by number; number 0 is not used.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        #[allow(missing_docs, reason = "each variant is named after its key")]
        pub enum Key { $($(#[$doc])* $variant,)* }

        /// Every key, in the order of its number.
        pub const KEYS: &[Key] = &[$(Key::$variant,)*];

        const NAMES: &[&str] = &[$($name,)*];
    };
}

keys! {
    RequestMethod = "REQUEST_METHOD",
    ScriptName = "SCRIPT_NAME",
    PathInfo = "PATH_INFO",
    QueryString = "QUERY_STRING",
    RequestUri = "REQUEST_URI",
    RequestScheme = "REQUEST_SCHEME",
    ServerProtocol = "SERVER_PROTOCOL",
    ServerName = "SERVER_NAME",
    ServerPort = "SERVER_PORT",
    ServerAddr = "SERVER_ADDR",
    ServerSoftware = "SERVER_SOFTWARE",
    ServerAdmin = "SERVER_ADMIN",
    RemoteAddr = "REMOTE_ADDR",
    RemotePort = "REMOTE_PORT",
    RemoteUser = "REMOTE_USER",
    AuthType = "AUTH_TYPE",
    DocumentRoot = "DOCUMENT_ROOT",
    ScriptFilename = "SCRIPT_FILENAME",
    ContextPrefix = "CONTEXT_PREFIX",
    ContextDocumentRoot = "CONTEXT_DOCUMENT_ROOT",
    RedirectUrl = "REDIRECT_URL",
    RedirectQueryString = "REDIRECT_QUERY_STRING",
    RedirectRemoteUser = "REDIRECT_REMOTE_USER",
    ContentType = "CONTENT_TYPE",
    ContentLength = "CONTENT_LENGTH",
    Https = "HTTPS",
    WsgiUrlScheme = "wsgi.url_scheme",
    ModWsgiProcessGroup = "mod_wsgi.process_group",
    ModWsgiApplicationGroup = "mod_wsgi.application_group",
    ModWsgiCallableObject = "mod_wsgi.callable_object",
    ModWsgiRequestHandler = "mod_wsgi.request_handler",
    ModWsgiHandlerScript = "mod_wsgi.handler_script",
    ModWsgiScriptName = "mod_wsgi.script_name",
    ModWsgiPathInfo = "mod_wsgi.path_info",
    ModWsgiListenerHost = "mod_wsgi.listener_host",
    ModWsgiListenerPort = "mod_wsgi.listener_port",
    ModWsgiServerPid = "mod_wsgi.server_pid",
    ModWsgiRequestId = "mod_wsgi.request_id",
    ModWsgiConnectionId = "mod_wsgi.connection_id",
    HttpHost = "HTTP_HOST",
    HttpUserAgent = "HTTP_USER_AGENT",
    HttpAccept = "HTTP_ACCEPT",
    HttpAcceptEncoding = "HTTP_ACCEPT_ENCODING",
    HttpAcceptLanguage = "HTTP_ACCEPT_LANGUAGE",
    HttpAuthorization = "HTTP_AUTHORIZATION",
    HttpCacheControl = "HTTP_CACHE_CONTROL",
    HttpConnection = "HTTP_CONNECTION",
    HttpCookie = "HTTP_COOKIE",
    HttpDnt = "HTTP_DNT",
    HttpExpect = "HTTP_EXPECT",
    HttpIfMatch = "HTTP_IF_MATCH",
    HttpIfModifiedSince = "HTTP_IF_MODIFIED_SINCE",
    HttpIfNoneMatch = "HTTP_IF_NONE_MATCH",
    HttpOrigin = "HTTP_ORIGIN",
    HttpPragma = "HTTP_PRAGMA",
    HttpPriority = "HTTP_PRIORITY",
    HttpRange = "HTTP_RANGE",
    HttpReferer = "HTTP_REFERER",
    HttpSecChUa = "HTTP_SEC_CH_UA",
    HttpSecChUaMobile = "HTTP_SEC_CH_UA_MOBILE",
    HttpSecChUaPlatform = "HTTP_SEC_CH_UA_PLATFORM",
    HttpSecFetchDest = "HTTP_SEC_FETCH_DEST",
    HttpSecFetchMode = "HTTP_SEC_FETCH_MODE",
    HttpSecFetchSite = "HTTP_SEC_FETCH_SITE",
    HttpSecFetchUser = "HTTP_SEC_FETCH_USER",
    HttpTe = "HTTP_TE",
    HttpTransferEncoding = "HTTP_TRANSFER_ENCODING",
    HttpUpgradeInsecureRequests = "HTTP_UPGRADE_INSECURE_REQUESTS",
    HttpVia = "HTTP_VIA",
    HttpXForwardedFor = "HTTP_X_FORWARDED_FOR",
    HttpXForwardedHost = "HTTP_X_FORWARDED_HOST",
    HttpXForwardedProto = "HTTP_X_FORWARDED_PROTO",
    HttpXRequestedWith = "HTTP_X_REQUESTED_WITH",
}

impl Key {
    /// How many keys there are; numbers run from 1 to this.
    pub const COUNT: usize = KEYS.len();

    /// The number that crosses in a request head, from 1 on.
    pub fn number(self) -> u16 {
        self as u16 + 1
    }

    /// The key of a number, if there is one.
    pub fn from_number(number: u16) -> Option<Key> {
        KEYS.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Its position in [`KEYS`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The key's text, all ASCII.
    pub fn name(self) -> &'static str {
        NAMES[self.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_keys_are_inverse() {
        for (index, key) in KEYS.iter().enumerate() {
            assert_eq!(key.index(), index);
            assert_eq!(Key::from_number(key.number()), Some(*key));
        }
        assert_eq!(Key::from_number(0), None);
        assert_eq!(Key::from_number(Key::COUNT as u16 + 1), None);
    }

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<&str> = KEYS.iter().map(|key| key.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Key::COUNT);
    }
}
