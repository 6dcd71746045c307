//! What the programs of `src/bin` have in common: how figures are told, and how they are taken.

pub mod database;
pub mod forge;
pub mod harness;
pub mod load;
pub mod peers;
pub mod record;
pub mod report;
pub mod scaling;
