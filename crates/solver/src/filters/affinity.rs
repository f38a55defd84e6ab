//! One term of the pod's required node affinity must match the node.

use stowage_model::{Code, PodShape};

use super::{Filter, Misfit, Place};

pub(super) struct Affinity;

impl Filter for Affinity {
    fn name(&self) -> &'static str {
        "required node affinity"
    }

    fn admit(&self, shape: &PodShape, place: &Place<'_>) -> Result<(), Misfit> {
        let Some(terms) = &shape.affinity else { return Ok(()) };
        if terms.iter().any(|term| term.matches(|key| place.label(key))) {
            return Ok(());
        }
        let missed = terms.iter().find_map(|term| term.0.first_refused(|key| place.label(key)));
        Err(match missed {
            Some((key, requirement)) => Misfit {
                code: Code::Affinity,
                detail: format!("needs {key} {requirement}, there it is {}", place.label(key).unwrap_or("absent")),
                subject: key.to_owned(),
            },
            None => Misfit {
                code: Code::Affinity,
                detail: "its affinity has no term with an expression, which matches no node".to_owned(),
                subject: "nodeSelectorTerms".to_owned(),
            },
        })
    }
}
