//! A pod must tolerate every taint of its node that refuses pods.

use stowage_model::taint::{first_untolerated, untolerated};
use stowage_model::{Code, PodShape};

use super::{Filter, Misfit, Place};

pub(super) struct Taints;

impl Filter for Taints {
    fn name(&self) -> &'static str {
        "taints"
    }

    fn admit(&self, shape: &PodShape, place: &Place<'_>) -> Result<(), Misfit> {
        let refused = if shape.heeds_advice {
            untolerated(place.taints(), &shape.tolerations).next()
        } else {
            first_untolerated(place.taints(), &shape.tolerations)
        };
        match refused {
            None => Ok(()),
            Some(taint) => Err(Misfit {
                code: Code::Taint,
                detail: format!("does not tolerate {taint}"),
                subject: taint.key.clone(),
            }),
        }
    }
}
