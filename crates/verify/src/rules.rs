//! The rules, one per file: the solver's filters in a second handwriting.

pub(crate) mod bound;
pub(crate) mod capacity;
pub(crate) mod coverage;
pub(crate) mod launch;
pub(crate) mod limits;
pub(crate) mod placement;
pub(crate) mod relations;
pub(crate) mod unplaced;
pub(crate) mod weight;
