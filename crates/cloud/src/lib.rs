//! Where machines come from: the embedded EC2 catalogue, catalogue files in the
//! kwok provider's form, and price overrides. Everything ends as
//! [`stowage_model::InstanceType`]. Beside it the port to whoever sells them, and
//! a simulated seller.

pub mod aws;
pub mod embedded;
pub mod error;
pub mod facts;
pub mod kwok;
pub mod prices;
pub mod provider;
pub mod reservations;
pub mod simulated;
pub mod sizing;

pub use error::CatalogError;
