//! Requests through fake workers: real sockets and a real scoreboard, no httpd and no Python.

mod bodies;
mod departures;
mod desk;
mod fake_client;
mod impostors;
mod questions;
mod site;
mod workers;
