//! The service: what may be asked of it, what it may answer, and one request over the wire.
//!
//! [`client`] sends, and [`plain`] what carries no key; everything else decides and holds no I/O. [`reply`] says what an answer means, with [`envelope`] and `row` for
//! its body, `signals` for its headers, `fault` for a region that is not answered, and `words` for what an error speaks of. Nothing here knows why a page is asked.

pub mod client;
pub mod contract;
mod data;
mod redaction;
pub mod envelope;
pub mod fault;
mod host;
mod identity;
mod lenient;
pub mod number;
pub mod packed;
pub mod plain;
pub mod proxy;
pub mod reply;
pub mod row;
pub mod lexer;
pub mod signals;
mod surrogates;
mod transport;
mod unpack;
mod words;
