//! Volumes, as far as they decide where a pod can run.

use std::fmt;

/// Why a claim keeps its pod from being scheduled anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is explained by its text")]
pub enum VolumeFault {
    ClaimMissing,
    ClaimDeleting,
    ClaimLost,
    /// Its class binds at once, so the claim must be bound before its pod.
    Unbound,
    /// It names its volume, and the two are not bound yet.
    NotBoundYet,
    ClassMissing,
    VolumeMissing,
    VolumeDeleting,
}

impl fmt::Display for VolumeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClaimMissing => "a claim that does not exist",
            Self::ClaimDeleting => "a claim that is being deleted",
            Self::ClaimLost => "a claim whose volume is lost",
            Self::Unbound => "a claim that is not bound, though its class binds at once",
            Self::NotBoundYet => "a claim that names its volume and is not bound to it yet",
            Self::ClassMissing => "a claim that is not bound and has no storage class",
            Self::VolumeMissing => "a claim whose volume does not exist",
            Self::VolumeDeleting => "a claim whose volume is being deleted",
        })
    }
}

/// A volume that several pods mount: however many are on a node, it takes one of
/// the attachments that a driver has there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedVolume {
    /// Number of the claim.
    pub claim: u32,
    /// The resource of the driver's attachments.
    pub resource: String,
}

/// The resource that counts the attachments of a CSI driver.
pub fn attachments(driver: &str) -> String {
    format!("attachable-volumes-csi-{driver}")
}

/// Whether a resource counts attachments.
pub fn counts_attachments(resource: &str) -> bool {
    resource.starts_with("attachable-volumes-")
}

/// Attachments where a driver states no limit.
pub const UNLIMITED: i64 = 1 << 20;
