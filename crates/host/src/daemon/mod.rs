//! A request over a connection from an httpd child, as far as neither Python nor threads are in it: what goes out
//! and comes in ([`Stream`], [`Outbox`], [`Intake`]), and the exchange made of them.

mod asker;
mod crew;
mod exchange;
mod gate;
mod intake;
mod outbox;
mod pace;
mod stream;

pub(crate) use asker::ConnectionAsker;
pub(crate) use crew::Crew;
pub(crate) use exchange::ConnectionExchange;
pub(crate) use gate::Gate;
pub(crate) use intake::Intake;
pub(crate) use outbox::Outbox;
pub(crate) use stream::Stream;
