//! All process groups of a configuration, who may use which, and whether what is to be loaded in them can be.

use std::sync::Arc;

use super::alias::Alias;
use super::daemon::Daemon;
use super::import::Import;
use super::remark::Remark;
use super::value::shown;
use super::written::{ServerWritten, Text};
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
    NotFound,
    /// It was defined in a virtual host with another `ServerName`.
    NotAccessible,
    /// It was defined in a virtual host, and only one of the two servers has a `ServerName`.
    NotMatchable,
}

/// Every process group, in the order of the configuration. `sites` are the main server and all virtual hosts.
pub fn daemons<'s>(sites: impl IntoIterator<Item = Site<'s>>) -> Vec<Defined> {
    let defined_in = |site: Site<'s>| site.written.daemons.iter().map(move |daemon| Defined::new(daemon, site));
    let mut all: Vec<Defined> = sites.into_iter().flat_map(defined_in).collect();
    all.sort_by_key(|defined| defined.daemon.order);
    all
}

/// The process group of this name, if requests to the server `from` may use it: it was defined at the main server, in
/// the same virtual host, or in one of the same `ServerName` (case counts).
///
/// # Errors
/// See [`NoDaemon`].
pub fn find_daemon<'d>(all: &'d [Defined], name: &[u8], from: Site<'_>) -> Result<&'d Defined, NoDaemon> {
    let found = all.iter().find(|defined| *defined.daemon.name == *name).ok_or(NoDaemon::NotFound)?;
    if !found.is_virtual || found.server == identity(from) {
        return Ok(found);
    }
    match (found.server_name.as_deref(), from.name) {
        (Some(theirs), Some(ours)) if theirs == ours => Ok(found),
        (Some(_), None) | (None, Some(_)) => Err(NoDaemon::NotMatchable),
        _ => Err(NoDaemon::NotAccessible),
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

/// What is odd about the configuration as a whole: aliases whose process group takes no requests, or is not there.
pub fn remarks(sites: &[Site<'_>]) -> Vec<Remark> {
    let all = daemons(sites.iter().copied());
    let mut seen = std::collections::HashSet::new();
    let aliases = sites.iter().flat_map(|site| &site.written.aliases);
    // An alias of the main server is also one of each virtual host.
    aliases.filter(|alias| seen.insert(Arc::as_ptr(alias))).filter_map(|alias| doubt(alias, &all)).collect()
}

fn doubt(alias: &Alias, all: &[Defined]) -> Option<Remark> {
    let name = alias.options.literal_process_group()?;
    let found = all.iter().find(|defined| *defined.daemon.name == *name);
    let (line, name) = (&alias.line, shown(name));
    let (code, text) = match found {
        Some(defined) if defined.daemon.is_service() => (
            codes::SERVICE_TARGET,
            format!(
                "{line}: the process group '{name}' has threads=0 and so takes no requests, which this alias sends there; give \
                 it threads, or name another group"
            ),
        ),
        None => (
            codes::UNDEFINED_TARGET,
            format!(
                "{line}: no WSGIDaemonProcess defines the process group '{name}', so requests for this alias are answered with \
                 500; define it, or name another group"
            ),
        ),
        Some(_) => return None,
    };
    Some(Remark::warning(code, text))
}

fn refuse(import: &Import, why: NoDaemon, site: Site<'_>) -> String {
    let (line, group) = (&import.line, shown(&import.process_group));
    let remedy = "a script cannot be loaded at start in it";
    let here =
        site.name.map_or_else(|| "this server, which has no ServerName,".to_owned(), |name| shown(name).into_owned());
    match why {
        NoDaemon::NotFound => format!(
            "{line}: WSGI process group not yet configured: no WSGIDaemonProcess defines '{group}', so {remedy}; define it, or \
             use process-group=%{{GLOBAL}}"
        ),
        NoDaemon::NotAccessible => format!(
            "{line}: WSGI process group not accessible: '{group}' is defined in a virtual host with another ServerName than \
             {here}, so {remedy}; define it outside of virtual hosts"
        ),
        NoDaemon::NotMatchable => format!(
            "{line}: WSGI process group not matchable: '{group}' is defined in a virtual host, and only one of it and {here} has \
             a ServerName, so {remedy}; give both the same ServerName, or define it outside of virtual hosts"
        ),
    }
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
