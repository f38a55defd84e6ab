//! Each bound volume of the pod must be reachable from the node.

use stowage_model::{Code, PodShape};

use super::{Filter, Misfit, Place};

pub(super) struct Volumes;

impl Filter for Volumes {
    fn name(&self) -> &'static str {
        "bound volumes"
    }

    fn admit(&self, shape: &PodShape, place: &Place<'_>) -> Result<(), Misfit> {
        for terms in &shape.volumes {
            if terms.iter().any(|term| term.matches(|key| place.label(key))) {
                continue;
            }
            let missed = terms.iter().find_map(|term| term.0.first_refused(|key| place.label(key)));
            let (key, needs) = missed.map_or(("nodeAffinity", "an empty term".to_owned()), |(k, r)| (k, r.to_string()));
            return Err(Misfit {
                code: Code::VolumeZone,
                detail: format!("a bound volume needs {key} {needs}"),
                subject: key.to_owned(),
            });
        }
        Ok(())
    }
}
