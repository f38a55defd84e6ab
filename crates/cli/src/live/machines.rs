//! The catalogue as the controller asks it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use stowage_controllers::machines::{Gathered, Machines};
use stowage_k8s::Cluster;
use stowage_model::{CapacityType, Node, Price};

use crate::args::MachineArgs;
use crate::catalog::Catalog;
use crate::error::Failure;
use crate::pools::Pools;
use crate::question::{Notebook, named_capacity_types};

/// The catalogue that flags name.
pub(super) struct Machinery {
    args: MachineArgs,
    /// Catalogues by the capacity types that NodePools name.
    loaded: Mutex<BTreeMap<BTreeSet<CapacityType>, Arc<Catalog>>>,
    /// Knows the price of everything.
    whole: Catalog,
}

impl Machinery {
    pub(super) fn new(args: &MachineArgs) -> Result<Self, Failure> {
        let every = BTreeSet::from([CapacityType::OnDemand, CapacityType::Spot, CapacityType::Reserved]);
        let whole = Catalog::load(args, &every)?;
        Ok(Self { args: args.clone(), loaded: Mutex::default(), whole })
    }

    fn catalog(&self, named: &BTreeSet<CapacityType>) -> Result<Arc<Catalog>, Failure> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = loaded.get(named) {
            return Ok(known.clone());
        }
        let catalog = Arc::new(Catalog::load(&self.args, named)?);
        loaded.insert(named.clone(), catalog.clone());
        Ok(catalog)
    }
}

impl Machines for Machinery {
    fn gather(&self, cluster: &Cluster) -> Result<Gathered, String> {
        if !cluster.has_pools() {
            return Ok(Gathered::default());
        }
        let told = |failure: Failure| failure.lines.join("; ");
        let catalog = self.catalog(&named_capacity_types(cluster)).map_err(told)?;
        let mut notebook = Notebook::default();
        let gathered = Pools::gather(cluster, &catalog, &self.args, &mut notebook).map_err(told)?;
        Ok(Gathered {
            pools: gathered.pools,
            standing: gathered.standing.into_iter().map(|(pool, _)| pool).collect(),
            type_sets: gathered.type_sets,
            warnings: notebook.warnings,
        })
    }

    fn price_of(&self, node: &Node) -> Option<Price> {
        self.whole.price_of(node)
    }
}
