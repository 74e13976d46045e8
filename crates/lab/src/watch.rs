//! Who watches a run: what is made ready, which machines run, what they answer.

use crate::report::Entry;

/// Somebody who watches. Several machines run at once, so all of it can come from several threads.
pub trait Watch: Sync {
    /// Something is made ready.
    fn says(&self, _text: &str) {}

    /// So many machines are known to be needed; more may be, where one ends too early.
    fn machines(&self, _count: usize) {}

    /// Seat `seat` starts a machine.
    fn begins(&self, _seat: usize, _column: &str, _machine: &str) {}

    /// What the machine in seat `seat` is at.
    fn at(&self, _seat: usize, _what: &str) {}

    /// An answer came.
    fn answered(&self, _column: &str, _entry: &Entry) {}

    /// Something gave no answer.
    fn unanswered(&self, _column: &str, _id: &str) {}

    /// The machine in seat `seat` is gone.
    fn ends(&self, _seat: usize) {}
}

/// Nobody.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Watch for Nobody {}
