//! How much a service of some size asks of Postgres: by formulas, and by a simulation that checks them. `docs/scaling.md` says what
//! they mean.

pub mod costs;
pub mod demand;
pub mod model;
pub mod node;
pub mod random;
pub mod service;
pub mod simulation;
