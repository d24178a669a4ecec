//! The one safe wrapper over httpd and APR. It decides nothing, and it is the only room of the Apache
//! half, beside the module record, with `unsafe` in it.

#![allow(unsafe_code, reason = "the wrapper room; every block names the fact that makes it sound")]

mod accounts;
mod ask;
mod auth;
pub(crate) mod bindings;
mod body;
mod callbacks;
mod command;
pub(crate) mod companion;
mod config;
mod hook;
mod host;
mod httpd;
mod log;
mod output;
mod poll;
mod pool;
mod process;
mod regex;
mod request;
pub(crate) mod scoreboard;
mod server;
mod status;
mod table;

pub(crate) use accounts::SystemAccounts;
pub(crate) use ask::ask_as_server_user;
pub(crate) use auth::{Authentication, Authorization};
pub(crate) use body::Body;
pub(crate) use hook::Answer;
pub(crate) use host::{Host, PythonFiles, host_file};
pub(crate) use httpd::{
    Httpd, announce, banner, children_ids, is_dumping_core, is_preliminary_pass, is_stopping, is_without_children,
    runtime_path,
};
pub(crate) use log::{Log, log_line};
pub(crate) use output::Output;
pub(crate) use poll::{Events, Polled, poll};
pub(crate) use pool::Pool;
pub(crate) use process::{library_directory, set_variable};
pub(crate) use request::{FileKind, Request};
pub(crate) use server::Server;

/// What the module record is made of.
pub(crate) mod record {
    pub(crate) use super::auth::{on_groups, on_password, on_realm_hash, on_require, register};
    pub(crate) use super::command::COMMANDS;
    pub(crate) use super::config::{create_directory, create_server, merge_directory, merge_server};
    pub(crate) use super::hook::{
        on_check_config, on_child_init, on_monitor, on_post_config, on_request, on_test_config,
    };
    pub(crate) use super::process::stay_loaded;
}
