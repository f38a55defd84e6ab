//! Catalogue files in the form of Karpenter's kwok provider: a JSON array of
//! types with `resources` and `offerings`. As that provider does, 100m of CPU
//! and 10Mi of memory are kept back on each node, and 110 pods are the default.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stowage_model::Reservation;
use stowage_model::resources::ResourceName;
use stowage_model::{CapacityType, Code, InstanceType, Offering, Price, Resources, labels, quantity};

use crate::error::CatalogError;

const KEPT_CPU: i64 = 100;
const KEPT_MEMORY: i64 = 10 << 20;
const DEFAULT_PODS: i64 = 110;

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    #[serde(default)]
    offerings: Vec<Sold>,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    operating_systems: Vec<String>,
    #[serde(default)]
    resources: BTreeMap<String, Scalar>,
}

/// A quantity, which JSON may carry as text or as a number.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_json::Number),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sold {
    #[serde(alias = "price")]
    price: serde_json::Number,
    #[serde(alias = "available", default = "yes")]
    available: bool,
    #[serde(alias = "requirements", default)]
    requirements: Vec<Expression>,
    /// Instances that a reserved offering has.
    #[serde(alias = "reservationCapacity", default, skip_serializing_if = "Option::is_none")]
    reservation_capacity: Option<u32>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize, Serialize)]
struct Expression {
    key: String,
    #[serde(default)]
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

/// Reads a catalogue. `file` names it in errors.
pub fn parse(file: &str, text: &str) -> Result<Vec<InstanceType>, CatalogError> {
    let refuse = |subject: String, message: String| CatalogError::new(Code::InCatalog, subject, message);
    let entries: Vec<Entry> = serde_json::from_str(text).map_err(|e| {
        refuse(format!("{file} line {}", e.line()), format!("{e}; expected a JSON array of instance types"))
    })?;
    if entries.is_empty() {
        return Err(refuse(file.to_owned(), "holds no instance type".to_owned()));
    }
    let mut seen = BTreeSet::new();
    let mut types = Vec::with_capacity(entries.len());
    for entry in entries {
        let subject = format!("{file}: type {}", entry.name);
        if entry.name.is_empty() || !seen.insert(entry.name.clone()) {
            return Err(refuse(subject, "has no name, or the name of another".to_owned()));
        }
        types.push(lower(&subject, entry)?);
    }
    types.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(types)
}

fn lower(subject: &str, entry: Entry) -> Result<InstanceType, CatalogError> {
    let refuse = |message: String| CatalogError::new(Code::InCatalog, subject, message);
    let mut capacity = Resources::new().with(ResourceName::PODS, DEFAULT_PODS);
    for (name, text) in &entry.resources {
        let amount =
            quantity::amount(name, &text.to_string()).map_err(|e| refuse(format!("resources.{name} {text} {e}")))?;
        capacity.set(name, amount);
    }
    let mut allocatable = capacity.clone();
    allocatable.subtract(&Resources::new().with(ResourceName::CPU, KEPT_CPU).with(ResourceName::MEMORY, KEPT_MEMORY));
    if [ResourceName::CPU, ResourceName::MEMORY, ResourceName::PODS].iter().any(|name| allocatable.get(name) <= 0) {
        let message = "has no capacity left after 100m of CPU and 10Mi of memory are kept back; correct resources";
        return Err(refuse(message.to_owned()));
    }
    let mut offerings = Vec::new();
    for (index, sold) in entry.offerings.iter().enumerate().filter(|(_, sold)| sold.available) {
        offerings
            .extend(offering(&entry.name, sold).map_err(|message| refuse(format!("offerings[{index}] {message}")))?);
    }
    if offerings.is_empty() {
        return Err(refuse("has no available offering".to_owned()));
    }
    price_reservations(&mut offerings);
    let mut labels = BTreeMap::new();
    if !entry.architecture.is_empty() {
        labels.insert(labels::ARCH.to_owned(), entry.architecture.clone());
    }
    let mut parts = entry.name.splitn(2, '-');
    if let (Some(family), Some(rest)) = (parts.next(), parts.next()) {
        labels.insert(format!("{}instance-family", labels::KWOK_GROUP), family.to_owned());
        labels
            .insert(format!("{}instance-size", labels::KWOK_GROUP), rest.split('-').next().unwrap_or(rest).to_owned());
    }
    for (label, resource) in [("instance-cpu", ResourceName::CPU), ("instance-memory", ResourceName::MEMORY)] {
        if let Some(text) = entry.resources.get(resource) {
            labels.insert(format!("{}{label}", labels::KWOK_GROUP), text.to_string());
        }
    }
    let systems = if entry.operating_systems.is_empty() { vec!["linux".to_owned()] } else { entry.operating_systems };
    Ok(InstanceType {
        name: entry.name.into(),
        labels: Arc::new(labels),
        operating_systems: systems.into_iter().map(Into::into).collect(),
        capacity,
        allocatable,
        offerings,
    })
}

/// A reserved instance would cost what the dearest offering of its zone does.
fn price_reservations(offerings: &mut [Offering]) {
    let sold: Vec<(Arc<str>, Price)> =
        offerings.iter().filter(|o| o.reservation.is_none()).map(|o| (o.zone.clone(), o.price)).collect();
    for offering in offerings.iter_mut() {
        let same = sold.iter().filter(|(zone, _)| *zone == offering.zone).map(|(_, price)| *price);
        if let (Some(reservation), Some(price)) = (&mut offering.reservation, same.max()) {
            reservation.list_price = price;
        }
    }
}

/// One offering may list several zones and capacity types.
fn offering(name: &str, sold: &Sold) -> Result<Vec<Offering>, String> {
    let text = sold.price.to_string();
    let price = Price::parse(&text).ok_or_else(|| format!("Price {text} is not between 0 and 1,000,000"))?;
    let values = |key: &str| -> Vec<&str> {
        let named = sold.requirements.iter().filter(|r| labels::normalized(&r.key) == key);
        named.flat_map(|r| r.values.iter().map(String::as_str)).collect()
    };
    let (zones, kinds, ids) = (values(labels::ZONE), values(labels::CAPACITY_TYPE), values(labels::ZONE_ID));
    if zones.is_empty() {
        return Err(format!("names no {}", labels::ZONE));
    }
    let kinds: Vec<CapacityType> = if kinds.is_empty() {
        vec![CapacityType::OnDemand]
    } else {
        let parse =
            |kind: &&str| CapacityType::parse(kind).ok_or_else(|| format!("has the unknown capacity type {kind}"));
        kinds.iter().map(parse).collect::<Result<_, _>>()?
    };
    let reserved = values(labels::RESERVATION_ID);
    let id = (zones.len() == 1 && ids.len() == 1).then(|| ids[0].into());
    Ok(zones
        .iter()
        .flat_map(|zone| kinds.iter().map(move |kind| (zone, kind)))
        .map(|(zone, kind)| Offering {
            zone: (*zone).into(),
            zone_id: id.clone(),
            capacity_type: *kind,
            price,
            reservation: sold.reservation_capacity.filter(|_| *kind == CapacityType::Reserved).map(|count| {
                Reservation {
                    id: reserved.first().map_or_else(|| format!("{name}/{zone}"), |id| (*id).to_owned()).into(),
                    count,
                    list_price: price,
                }
            }),
        })
        .collect())
}

/// Writes types in the same form. What is kept back on reading is added, so that
/// reading the result gives the same allocatable.
pub fn export(types: &[InstanceType]) -> Result<String, CatalogError> {
    let entries: Vec<Entry> = types.iter().map(raise).collect::<Result<_, _>>()?;
    serde_json::to_string_pretty(&entries).map_err(|e| CatalogError::new(Code::InCatalog, "export", e.to_string()))
}

fn raise(kind: &InstanceType) -> Result<Entry, CatalogError> {
    let requirement = |key: &str, value: &str| Expression {
        key: key.to_owned(),
        operator: "In".to_owned(),
        values: vec![value.to_owned()],
    };
    let mut offerings = Vec::new();
    for offering in &kind.offerings {
        let mut requirements = vec![
            requirement(labels::CAPACITY_TYPE, offering.capacity_type.as_str()),
            requirement(labels::ZONE, &offering.zone),
        ];
        requirements.extend(offering.zone_id.as_deref().map(|id| requirement(labels::ZONE_ID, id)));
        let price = serde_json::Number::from_f64(offering.price.dollars())
            .ok_or_else(|| CatalogError::new(Code::InPrice, &*kind.name, "has a price that JSON cannot carry"))?;
        let reservation_capacity = offering.reservation.as_ref().map(|reservation| reservation.count);
        offerings.push(Sold { price, available: true, requirements, reservation_capacity });
    }
    let resources = kind
        .allocatable
        .iter()
        .map(|(name, amount)| {
            let text = match name.as_str() {
                ResourceName::CPU => format!("{}m", amount + KEPT_CPU),
                ResourceName::MEMORY => (amount + KEPT_MEMORY).to_string(),
                _ => amount.to_string(),
            };
            (name.to_string(), Scalar::Text(text))
        })
        .collect();
    Ok(Entry {
        name: kind.name.to_string(),
        offerings,
        architecture: kind.labels.get(labels::ARCH).cloned().unwrap_or_default(),
        operating_systems: kind.operating_systems.iter().map(ToString::to_string).collect(),
        resources,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"[{"name":"m-4x-amd64-linux","architecture":"amd64","operatingSystems":["linux"],
        "resources":{"cpu":"4","memory":"16Gi","pods":64},
        "offerings":[{"Price":0.1,"Available":true,"Requirements":[
            {"key":"karpenter.sh/capacity-type","operator":"In","values":["spot"]},
            {"key":"topology.kubernetes.io/zone","operator":"In","values":["a"]}]}]}]"#;

    #[test]
    fn an_export_reads_back_the_same() {
        let types = parse("t.json", ONE).unwrap();
        assert_eq!(types[0].allocatable.get("cpu"), 3900);
        assert_eq!(types[0].allocatable.get("pods"), 64);
        let again = parse("t.json", &export(&types).unwrap()).unwrap();
        assert_eq!(again[0].allocatable, types[0].allocatable);
        assert_eq!(again[0].offerings, types[0].offerings);
    }

    #[test]
    fn bad_catalogues_are_refused() {
        for (from, to) in [
            ("\"cpu\":\"4\"", "\"cpu\":\"100m\""),
            ("\"cpu\":\"4\"", "\"cpu\":\"-4\""),
            ("0.1", "-0.1"),
            ("0.1", "1e300"),
            ("true", "false"),
            ("\"spot\"", "\"cheap\""),
            ("topology.kubernetes.io/zone", "zone"),
        ] {
            let text = ONE.replace(from, to);
            assert_ne!(text, ONE);
            assert_eq!(parse("t.json", &text).unwrap_err().code, Code::InCatalog, "{to}");
        }
        for text in ["", "[]", "{}", "[{}]", "[{\"name\":\"x\"}]"] {
            assert_eq!(parse("t.json", text).unwrap_err().code, Code::InCatalog, "{text}");
        }
    }
}
