//! What the pod asks for must be left on the node.

use stowage_model::resources::humanize;
use stowage_model::{Code, PodShape};

use super::{Filter, Misfit, Place};

pub(super) struct Fit;

impl Filter for Fit {
    fn name(&self) -> &'static str {
        "resources"
    }

    fn admit(&self, shape: &PodShape, place: &Place<'_>) -> Result<(), Misfit> {
        match shape.requests.first_shortage(place.free()) {
            None => Ok(()),
            Some((name, asked, there)) => Err(Misfit {
                code: Code::Resource,
                detail: format!(
                    "asks {} {name}; {} left",
                    humanize(name.as_str(), asked),
                    humanize(name.as_str(), there.max(0))
                ),
                subject: name.to_string(),
            }),
        }
    }

    fn decided_by_labels(&self) -> bool {
        false
    }
}
