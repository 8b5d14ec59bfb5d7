//! Commands that need no fleet.

mod certs;
mod compare;
mod export;
mod plan;
mod report;
mod token;
mod validate;

pub(crate) use certs::certs;
pub(crate) use compare::{Compared, against, compare};
pub(crate) use export::export;
pub(crate) use plan::plan;
pub(crate) use report::report;
pub(crate) use token::token;
pub(crate) use validate::{schema, validate};
