//! A node must carry every label that the pod's nodeSelector names.

use stowage_model::{Code, PodShape};

use super::{Filter, Misfit, Place};

pub(super) struct Selector;

impl Filter for Selector {
    fn name(&self) -> &'static str {
        "nodeSelector"
    }

    fn admit(&self, shape: &PodShape, place: &Place<'_>) -> Result<(), Misfit> {
        match shape.selector.first_refused(|key| place.label(key)) {
            None => Ok(()),
            Some((key, requirement)) => Err(Misfit {
                code: Code::Selector,
                detail: format!("needs {key} {requirement}, there it is {}", place.label(key).unwrap_or("absent")),
                subject: key.to_owned(),
            }),
        }
    }
}
