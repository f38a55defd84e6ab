//! A pod whose claims cannot be mounted runs on no node.

use stowage_model::{Code, PodShape};

use super::{Filter, Misfit, Place};

pub(super) struct Faults;

impl Filter for Faults {
    fn name(&self) -> &'static str {
        "volume claims"
    }

    fn admit(&self, shape: &PodShape, _: &Place<'_>) -> Result<(), Misfit> {
        match shape.faults.first() {
            None => Ok(()),
            Some(fault) => Err(Misfit {
                code: Code::VolumeClaim,
                detail: format!("mounts {fault}"),
                subject: "spec.volumes".to_owned(),
            }),
        }
    }
}
