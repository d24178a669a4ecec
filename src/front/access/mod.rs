//! Access control: what httpd asks about a request before it is answered, put to the scripts of a site (docs/access.md).
//!
//! `ask` puts a question, through the cache and the right door; `host`, `user` and `group` are what httpd asks, and turn
//! answers into its statuses.

mod ask;
mod cache;
mod environ;
mod group;
mod host;
mod siphash;
mod user;

pub(super) use ask::{Place, ask_with_head};
pub(crate) use group::check_groups;
pub(crate) use host::check_host;
pub(crate) use user::{check_password, realm_hash};
