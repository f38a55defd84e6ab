//! `stowage catalog`.

use std::collections::BTreeSet;
use std::io::Write;

use stowage_cloud::kwok;
use stowage_cloud::sizing::Sizing;
use stowage_model::resources::humanize;
use stowage_model::{Code, InstanceType};

use crate::args::{CatalogArgs, CatalogCommand};
use crate::catalog::Catalog;
use crate::error::{Exit, Failure};

pub(crate) fn run(args: &CatalogArgs) -> Result<Exit, Failure> {
    let none = BTreeSet::new();
    let text = match &args.what {
        CatalogCommand::List { machines } => list(&Catalog::load(machines, &none)?),
        CatalogCommand::Show { name, machines } => show(&Catalog::load(machines, &none)?, name)?,
        CatalogCommand::Export { machines } => {
            let types = Catalog::load(machines, &none)?.types(&Sizing::default());
            format!("{}\n", kwok::export(&types)?)
        }
    };
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|e| Failure::output(&e))?;
    Ok(Exit::Done)
}

fn list(catalog: &Catalog) -> String {
    let mut rows = vec![["TYPE", "ARCH", "CPU", "MEMORY", "PODS", "ZONES", "CHEAPEST/H"].map(str::to_owned)];
    for kind in catalog.types(&Sizing::default()) {
        let zones: BTreeSet<&str> = kind.offerings.iter().map(|o| &*o.zone).collect();
        let cheapest = kind.offerings.iter().map(|o| (o.price, o.capacity_type)).min();
        rows.push([
            kind.name.to_string(),
            kind.labels.get(stowage_model::labels::ARCH).cloned().unwrap_or_default(),
            humanize("cpu", kind.allocatable.get("cpu")),
            humanize("memory", kind.allocatable.get("memory")),
            kind.allocatable.get("pods").to_string(),
            zones.len().to_string(),
            cheapest.map_or_else(String::new, |(price, how)| format!("{price} {how}")),
        ]);
    }
    crate::report::table::columns(&rows)
}

fn show(catalog: &Catalog, name: &str) -> Result<String, Failure> {
    let types = catalog.types(&Sizing::default());
    let kind = types.iter().find(|t| *t.name == *name).ok_or_else(|| {
        let near: Vec<&str> = near(&types, name);
        Failure::input(Code::InCatalog, name, &format!("is not in the catalogue; near it are {}", near.join(", ")))
    })?;
    let mut text = format!("{}\n\nallocatable (capacity)\n", kind.name);
    for (resource, amount) in kind.capacity.iter() {
        let free = kind.allocatable.get(resource.as_str());
        text.push_str(&format!(
            "  {resource:<28} {} ({})\n",
            humanize(resource.as_str(), free),
            humanize(resource.as_str(), amount)
        ));
    }
    text.push_str("\nlabels\n");
    for (key, value) in kind.labels.iter() {
        text.push_str(&format!("  {key}={value}\n"));
    }
    text.push_str("\nofferings\n");
    for offering in &kind.offerings {
        text.push_str(&format!("  {:<16} {:<10} {}/h\n", offering.zone, offering.capacity_type, offering.price));
    }
    Ok(text)
}

/// A few types of the same family, or the first ones.
fn near<'a>(types: &'a [InstanceType], name: &str) -> Vec<&'a str> {
    let family = name.split('.').next().unwrap_or_default();
    let same = types.iter().map(|t| &*t.name).filter(|known| known.split('.').next() == Some(family));
    let mut found: Vec<&str> = same.take(12).collect();
    if found.is_empty() {
        found.extend(types.iter().take(5).map(|t| &*t.name));
    }
    found
}
