//! What the chart of the years shows. Whoever generates draws it.

use super::statistics::Statistics;
use crate::rules::Component;

/// One bar: a component in a year.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The year.
    pub year: i16,
    /// Whose generation.
    pub component: Component,
    /// Days on which it rises.
    pub sure: usize,
    /// Days on which it rises if everything that is conditional applies.
    pub at_most: usize,
}

pub(super) fn bars(statistics: &Statistics) -> Vec<Bar> {
    let bars = statistics.years.iter().flat_map(|(year, counts)| {
        Component::ALL.into_iter().map(|component| Bar {
            year: *year,
            component,
            sure: counts.days.get(&component).map_or(0, std::collections::BTreeSet::len),
            at_most: counts.days_at_most.get(&component).map_or(0, std::collections::BTreeSet::len),
        })
    });
    bars.collect()
}
