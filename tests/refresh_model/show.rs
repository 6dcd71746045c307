//! What happened, in words: a counterexample is read by people.

use std::fmt;

use crate::step::Step;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Tick => f.write_str("a tick passes"),
            Self::Send(tab) => write!(f, "tab {tab} sends a refresh with what is stored"),
            Self::LoseRequest(tab) => write!(f, "the request of tab {tab} is lost"),
            Self::Arrive(tab) => write!(f, "the request of tab {tab} arrives"),
            Self::Deliver(tab) => write!(f, "tab {tab} stores its answer, if it is newer"),
            Self::LoseAnswer(tab) => write!(f, "the answer to tab {tab} is lost before it is stored"),
            Self::Use { node } => write!(f, "the owner uses the stored access token on node {node}"),
            Self::Reauthenticate(tab) => write!(f, "the owner re-authenticates in tab {tab}"),
            Self::Steal => f.write_str("the thief copies what is stored"),
            Self::ThiefRefresh(generation) => write!(f, "the thief refreshes with generation {generation}"),
            Self::ThiefUse { node, generation } => {
                write!(f, "the thief uses the access token of generation {generation} on node {node}")
            }
            Self::Confirm { node } => write!(f, "node {node} writes its confirmations"),
            Self::LoseBatch { node } => write!(f, "node {node} crashes and its confirmations are lost"),
            Self::Notified => f.write_str("node 1 hears of the new floor"),
            Self::FailOver => f.write_str("a failover loses the last write"),
            Self::RestoreBackup => f.write_str("the database is restored from a backup of the sign-in"),
            Self::End => f.write_str("the session ends"),
        }
    }
}
