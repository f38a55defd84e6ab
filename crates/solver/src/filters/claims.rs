//! Devices by Dynamic Resource Allocation are not planned for: which node has
//! them is known only to drivers that run there.

use stowage_model::{Code, PodShape, UnsupportedRule};

use super::{Filter, Misfit, Place};

pub(super) struct Claims;

impl Filter for Claims {
    fn name(&self) -> &'static str {
        "resource claims"
    }

    fn admit(&self, shape: &PodShape, _: &Place<'_>) -> Result<(), Misfit> {
        if !shape.unsupported.contains(&UnsupportedRule::ResourceClaims) {
            return Ok(());
        }
        Err(Misfit {
            code: Code::ResourceClaims,
            detail: "has resourceClaims, which are not planned for".to_owned(),
            subject: "spec.resourceClaims".to_owned(),
        })
    }
}
