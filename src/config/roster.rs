//! All process groups of a configuration, who may use which, and whether what is to be loaded in them can be.

use std::sync::Arc;

use super::daemon::Daemon;
use super::import::Import;
use super::remark::Remark;
use super::value::shown;
use super::written::{Direction, ServerWritten, Text};
use crate::codes;

/// The main server or a virtual host, when the configuration is complete.
#[derive(Clone, Copy)]
pub struct Site<'s> {
    /// Its settings, merged.
    pub written: &'s ServerWritten,
    /// `ServerName`.
    pub name: Option<&'s [u8]>,
    /// Whether it is a virtual host.
    pub is_virtual: bool,
}

/// A process group and where it was defined.
#[derive(Clone, Debug)]
pub struct Defined {
    /// The group.
    pub daemon: Arc<Daemon>,
    /// `ServerName` of the server that it was defined in.
    pub server_name: Option<Text>,
    /// Whether it was defined in a virtual host.
    pub is_virtual: bool,
    /// Tells servers of one configuration from each other.
    server: usize,
}

/// Why a process group cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDaemon {
    /// None has this name.
    Missing,
    /// It was defined in a virtual host with another `ServerName`.
    Inaccessible,
    /// It was defined in a virtual host, and only one of the two servers has a `ServerName`.
    Unmatchable,
}

/// Every process group, in the order of the configuration. `sites` are the main server and all virtual hosts.
pub fn daemons<'s>(sites: impl IntoIterator<Item = Site<'s>>) -> Vec<Defined> {
    let defined_in = |site: Site<'s>| site.written.daemons.iter().map(move |daemon| Defined::new(daemon, site));
    let mut all: Vec<Defined> = sites.into_iter().flat_map(defined_in).collect();
    all.sort_by_key(|defined| defined.daemon.order);
    // A virtual host without a line of this module's has the main server's settings themselves (httpd config.c,
    // merge_server_configs); the main server comes first.
    all.dedup_by(|later, earlier| Arc::ptr_eq(&later.daemon, &earlier.daemon));
    all
}

/// The process group of this name, if requests to the server `from` may use it: it was defined at the main server, in
/// the same virtual host, or in one of the same `ServerName` (case counts).
///
/// # Errors
/// See [`NoDaemon`].
pub fn find_daemon<'d>(all: &'d [Defined], name: &[u8], from: Site<'_>) -> Result<&'d Defined, NoDaemon> {
    let found = all.iter().find(|defined| *defined.daemon.name == *name).ok_or(NoDaemon::Missing)?;
    if !found.is_virtual || found.server == identity(from) {
        return Ok(found);
    }
    match (found.server_name.as_deref(), from.name) {
        (Some(theirs), Some(ours)) if theirs == ours => Ok(found),
        (Some(_), None) | (None, Some(_)) => Err(NoDaemon::Unmatchable),
        _ => Err(NoDaemon::Inaccessible),
    }
}

/// What makes the configuration as a whole impossible, one text each: scripts that are to be loaded at start in process
/// groups that are not there for them.
pub fn contradictions(sites: &[Site<'_>]) -> Vec<String> {
    let all = daemons(sites.iter().copied());
    let in_a_group = |import: &&Import| !import.process_group.is_empty();
    let of_site = |site: &Site<'_>| -> Vec<String> {
        let imports = site.written.imports.iter().filter(in_a_group);
        imports
            .filter_map(|import| Some(refuse(import, find_daemon(&all, &import.process_group, *site).err()?, *site)))
            .collect()
    };
    sites.iter().flat_map(of_site).collect()
}

/// What is odd about the configuration as a whole: lines that send requests to a process group that takes none, is not
/// there, or is out of reach.
pub fn remarks(sites: &[Site<'_>]) -> Vec<Remark> {
    let all = daemons(sites.iter().copied());
    let of_site = |site: &Site<'_>| -> Vec<Remark> {
        site.written.directions.iter().filter_map(|direction| doubt(direction, &all, *site)).collect()
    };
    sites.iter().flat_map(of_site).collect()
}

fn doubt(direction: &Direction, all: &[Defined], site: Site<'_>) -> Option<Remark> {
    let (line, name) = (&direction.line, shown(&direction.process_group));
    let found = match find_daemon(all, &direction.process_group, site) {
        // What stands in the main server holds for virtual hosts as well, and may be meant for one of them.
        Err(NoDaemon::Inaccessible | NoDaemon::Unmatchable) if !site.is_virtual => return None,
        found => found,
    };
    let (code, text) = match found {
        Ok(defined) if !defined.daemon.is_service() => return None,
        Ok(_) => {
            (codes::SERVICE_TARGET, "has threads=0 and so takes no requests; give it threads, or name another group")
        }
        Err(NoDaemon::Missing) => (
            codes::UNDEFINED_TARGET,
            "is defined by no WSGIDaemonProcess, so requests for it are answered with 500; define it, or name another group",
        ),
        Err(NoDaemon::Inaccessible | NoDaemon::Unmatchable) => (
            codes::UNDEFINED_TARGET,
            "is defined in a virtual host with another ServerName, so requests for it are answered with 500; define it \
             outside of virtual hosts, or name another group",
        ),
    };
    Some(Remark::warning(code, format!("{line}: the process group '{name}' {text}")))
}

fn refuse(import: &Import, why: NoDaemon, site: Site<'_>) -> String {
    let group = shown(&import.process_group);
    let remedy = "a script cannot be loaded at start in it";
    let here =
        site.name.map_or_else(|| "this server, which has no ServerName,".to_owned(), |name| shown(name).into_owned());
    import.line.refuse(&match why {
        NoDaemon::Missing => format!(
            "WSGI process group not yet configured: no WSGIDaemonProcess defines '{group}', so {remedy}; define it, or use \
             process-group=%{{GLOBAL}}"
        ),
        NoDaemon::Inaccessible => format!(
            "WSGI process group not accessible: '{group}' is defined in a virtual host with another ServerName than {here}, \
             so {remedy}; define it outside of virtual hosts"
        ),
        NoDaemon::Unmatchable => format!(
            "WSGI process group not matchable: '{group}' is defined in a virtual host, and only one of it and {here} has a \
             ServerName, so {remedy}; give both the same ServerName, or define it outside of virtual hosts"
        ),
    })
}

impl Defined {
    fn new(daemon: &Arc<Daemon>, site: Site<'_>) -> Defined {
        Defined {
            daemon: Arc::clone(daemon),
            server_name: site.name.map(Text::from),
            is_virtual: site.is_virtual,
            server: identity(site),
        }
    }
}

fn identity(site: Site<'_>) -> usize {
    std::ptr::from_ref(site.written).addr()
}

#[cfg(test)]
mod tests {
    use super::super::sample::server;
    use super::*;

    const PRELOAD: &str = "WSGIImportScript /x process-group=d application-group=%{GLOBAL}";
    const GROUP: &str = "WSGIDaemonProcess d";

    fn main_site(written: &ServerWritten) -> Site<'_> {
        Site { written, name: Some(b"main.example.com"), is_virtual: false }
    }

    fn host<'s>(written: &'s ServerWritten, name: &'s str) -> Site<'s> {
        Site { written, name: Some(name.as_bytes()).filter(|name| !name.is_empty()), is_virtual: true }
    }

    /// What is said of these lines in the main server, in a.example.com, and in another virtual host.
    fn wrong(main: &[&str], a: &[&str], other: (&str, &[&str])) -> Vec<String> {
        let main = server(main);
        let (a, b) = (ServerWritten::merge(&main, &server(a)), ServerWritten::merge(&main, &server(other.1)));
        contradictions(&[main_site(&main), host(&b, other.0), host(&a, "a.example.com")])
    }

    #[test]
    fn groups_come_in_the_order_of_the_file_each_once() {
        let first = server(&["WSGIDaemonProcess v threads=2"]);
        let main = server(&["WSGIDaemonProcess m", "WSGIDaemonProcess n"]);
        let host_of_main = ServerWritten::merge(&main, &ServerWritten::default());
        let all = daemons([main_site(&main), host(&host_of_main, "a"), host(&first, "v.example.com")]);
        let names: Vec<&[u8]> = all.iter().map(|defined| &*defined.daemon.name).collect();
        assert_eq!(names, [&b"v"[..], b"m", b"n"]);
        assert!(all[0].is_virtual && !all[1].is_virtual);
        assert_eq!(all[0].server_name.as_deref(), Some(&b"v.example.com"[..]));
    }

    #[test]
    fn a_virtual_host_that_shares_the_main_servers_settings_defines_none() {
        let main = server(&[GROUP]);
        let all = daemons([main_site(&main), host(&main, "a"), host(&main, "b")]);
        assert_eq!(all.len(), 1);
        assert!(!all[0].is_virtual);
    }

    #[test]
    fn a_group_of_the_main_server_is_everyones() {
        let (main, other) = (server(&[GROUP]), ServerWritten::default());
        let all = daemons([main_site(&main), host(&other, "a")]);
        for from in [main_site(&main), host(&other, "a"), host(&other, "")] {
            assert_eq!(*find_daemon(&all, b"d", from).expect("visible").daemon.name, *b"d");
        }
        assert_eq!(find_daemon(&all, b"D", main_site(&main)).err(), Some(NoDaemon::Missing));
    }

    #[test]
    fn a_group_of_a_virtual_host_is_for_those_of_its_name() {
        let (mine, other) = (server(&[GROUP]), ServerWritten::default());
        let all = daemons([main_site(&other), host(&mine, "a.example.com")]);
        let found = |from: Site<'_>| find_daemon(&all, b"d", from).map(|_| ());
        assert_eq!(found(host(&mine, "a.example.com")), Ok(()));
        assert_eq!(found(host(&other, "a.example.com")), Ok(()));
        assert_eq!(found(host(&other, "A.example.com")), Err(NoDaemon::Inaccessible));
        assert_eq!(found(main_site(&other)), Err(NoDaemon::Inaccessible));
        assert_eq!(found(host(&other, "")), Err(NoDaemon::Unmatchable));
    }

    #[test]
    fn virtual_hosts_without_a_name_share_no_group_but_have_their_own() {
        let (mine, other) = (server(&[GROUP]), ServerWritten::default());
        let all = daemons([host(&mine, ""), host(&other, "")]);
        assert!(find_daemon(&all, b"d", host(&mine, "")).is_ok());
        assert_eq!(find_daemon(&all, b"d", host(&other, "")).err(), Some(NoDaemon::Inaccessible));
    }

    #[test]
    fn a_script_may_be_loaded_in_a_group_that_is_defined_later_or_elsewhere() {
        assert!(wrong(&[PRELOAD, GROUP], &[], ("b", &[])).is_empty());
        assert!(wrong(&[GROUP], &[PRELOAD], ("b", &[PRELOAD])).is_empty());
        assert!(wrong(&[], &[GROUP], ("a.example.com", &[PRELOAD])).is_empty());
        assert!(
            wrong(&["WSGIImportScript /x process-group=%{GLOBAL} application-group=a"], &[], ("b", &[])).is_empty()
        );
    }

    #[test]
    fn a_script_cannot_be_loaded_in_a_group_that_is_not_there_or_out_of_sight() {
        let said = |main: &[&str], a: &[&str], other| {
            let wrong = wrong(main, a, other);
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            assert!(wrong[0].starts_with("Syntax error on line 7 of httpd.conf: WSGI process group not "), "{wrong:?}");
            assert!(wrong[0].ends_with(" (in WSGIImportScript)"), "{wrong:?}");
            wrong[0].clone()
        };
        assert!(said(&[PRELOAD], &[], ("b", &[])).contains("not yet configured: no WSGIDaemonProcess defines 'd'"));
        assert!(said(&[PRELOAD], &[GROUP], ("b", &[])).contains("not accessible: 'd'"));
        assert!(said(&[], &[GROUP], ("b.example.com", &[PRELOAD])).contains("another ServerName than b.example.com"));
        assert!(said(&[], &[GROUP], ("", &[PRELOAD])).contains("not matchable: 'd'"));
    }

    #[test]
    fn an_alias_that_fixes_both_groups_is_held_to_the_same() {
        let alias = "WSGIScriptAlias /x /x process-group=d application-group=a";
        assert!(wrong(&[alias], &[], ("b", &[]))[0].contains("not yet configured"));
        assert!(wrong(&["WSGIScriptAlias /x /x process-group=d"], &[], ("b", &[])).is_empty());
    }

    fn said(main: &[&str], a: &[&str], b: &[&str]) -> Vec<String> {
        let main = server(main);
        let (a, b) = (ServerWritten::merge(&main, &server(a)), ServerWritten::merge(&main, &server(b)));
        let sites = [main_site(&main), host(&a, "a.example.com"), host(&b, "b.example.com")];
        remarks(&sites).into_iter().map(|remark| format!("{}: {}", remark.code, remark.text)).collect()
    }

    #[test]
    fn requests_to_a_service_are_doubted_once() {
        let service = "WSGIDaemonProcess d threads=0";
        let said = said(&[service, "WSGIScriptAlias /x /x process-group=d"], &[], &[]);
        assert_eq!(said.len(), 1, "{said:?}");
        let start =
            format!("{}: WSGIScriptAlias (httpd.conf, line 7): the process group 'd' has", codes::SERVICE_TARGET);
        assert!(said[0].starts_with(&start), "{said:?}");
    }

    #[test]
    fn requests_to_a_group_that_is_not_defined_or_out_of_reach_are_doubted() {
        for line in ["WSGIScriptAlias /x /x process-group=d", "WSGIProcessGroup d"] {
            assert!(said(&[line], &[], &[])[0].contains("is defined by no WSGIDaemonProcess"), "{line}");
            assert!(said(&[], &[GROUP], &[line])[0].contains("another ServerName"), "{line}");
        }
    }

    #[test]
    fn usual_lines_are_not_doubted() {
        let usual = [
            "WSGIScriptAlias /a /x process-group=d",
            "WSGIScriptAlias /b /x process-group=%{GLOBAL}",
            "WSGIScriptAlias /c /x process-group=%{ENV:G}",
            "WSGIScriptAlias /d /x",
            "WSGIProcessGroup d",
            "WSGIProcessGroup %{GLOBAL}",
            "WSGIProcessGroup %{ENV:G}",
        ];
        assert!(said(&[GROUP], &usual, &[]).is_empty());
        // Perhaps meant for a.example.com only.
        assert!(said(&usual, &[GROUP], &[]).is_empty());
    }
}
