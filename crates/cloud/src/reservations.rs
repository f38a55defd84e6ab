//! EC2 capacity reservations, as `aws ec2 describe-capacity-reservations` prints
//! them, and which of them an EC2NodeClass selects.

use std::collections::BTreeMap;

use serde::Deserialize;
use stowage_model::{CapacityType, Code, InstanceType, Offering, Price, Reservation};

use crate::error::CatalogError;

/// A reserved instance costs nothing more; a hair keeps the dearer ones apart.
/// Karpenter divides the on-demand price by as much.
const SHARE_OF_LIST_PRICE: i64 = 10_000_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    capacity_reservations: Vec<CapacityReservation>,
}

/// A capacity reservation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CapacityReservation {
    /// Its id, `cr-…`.
    #[serde(rename = "CapacityReservationId")]
    pub id: String,
    /// The account that owns it.
    #[serde(default)]
    pub owner_id: String,
    /// Instance type.
    pub instance_type: String,
    /// Zone.
    pub availability_zone: String,
    /// Instances not in use.
    pub available_instance_count: u32,
    /// `active` and others.
    #[serde(default)]
    pub state: String,
    /// `open` or `targeted`.
    #[serde(default)]
    pub instance_match_criteria: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

/// One term of `capacityReservationSelectorTerms`: all that it states must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The reservation's id.
    pub id: Option<String>,
    /// Tags; `*` stands for any value.
    pub tags: BTreeMap<String, String>,
    /// The owner's account.
    pub owner_id: Option<String>,
    /// `open` or `targeted`.
    pub instance_match_criteria: Option<String>,
}

impl Selection {
    /// Whether the term selects `reservation`.
    pub fn selects(&self, reservation: &CapacityReservation) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_ref().is_none_or(|wanted| wanted == own);
        let tagged = |(key, value): (&String, &String)| {
            reservation.tags.iter().any(|tag| tag.key == *key && (value == "*" || tag.value == *value))
        };
        is(&self.id, &reservation.id)
            && is(&self.owner_id, &reservation.owner_id)
            && is(&self.instance_match_criteria, &reservation.instance_match_criteria)
            && self.tags.iter().all(tagged)
    }
}

/// Reads the reservations that are active. `file` names the text in errors.
pub fn parse(file: &str, text: &str) -> Result<Vec<CapacityReservation>, CatalogError> {
    let answer: Answer = serde_json::from_str(text).map_err(|error| {
        let message = format!("{error}; expected the JSON of aws ec2 describe-capacity-reservations");
        CatalogError::new(Code::InCatalog, format!("{file} line {}", error.line()), message)
    })?;
    let mut all = answer.capacity_reservations;
    all.retain(|reservation| reservation.state.is_empty() || reservation.state == "active");
    all.sort_by(|a, b| a.id.cmp(&b.id));
    if let Some(twins) = all.windows(2).find(|pair| pair[0].id == pair[1].id) {
        let message = "is there twice; remove one of the two";
        return Err(CatalogError::new(Code::InCatalog, format!("{file}: {}", twins[0].id), message));
    }
    Ok(all)
}

/// Adds what is reserved to the ways of buying `types`. Returns the reservations
/// of types or zones that are not among them.
pub fn add<'r>(
    types: &mut [InstanceType],
    reservations: impl IntoIterator<Item = &'r CapacityReservation>,
) -> Vec<&'r str> {
    let mut unused = Vec::new();
    for reservation in reservations {
        let kind = types.iter_mut().find(|kind| *kind.name == *reservation.instance_type);
        let sold = kind.and_then(|kind| {
            let in_zone = |o: &&Offering| *o.zone == *reservation.availability_zone && o.reservation.is_none();
            let dearest = kind.offerings.iter().filter(in_zone).max_by_key(|offering| offering.price).cloned();
            dearest.map(|offering| (kind, offering))
        });
        let Some((kind, sold)) = sold else {
            unused.push(reservation.id.as_str());
            continue;
        };
        kind.offerings.push(Offering {
            capacity_type: CapacityType::Reserved,
            price: Price::from_nanos(sold.price.nanos() / SHARE_OF_LIST_PRICE),
            reservation: Some(Reservation {
                id: reservation.id.as_str().into(),
                count: reservation.available_instance_count,
                list_price: sold.price,
            }),
            ..sold
        });
    }
    unused
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"CapacityReservations":[
        {"CapacityReservationId":"cr-2","OwnerId":"1","InstanceType":"m5.large","AvailabilityZone":"us-east-1a",
         "AvailableInstanceCount":3,"State":"active","InstanceMatchCriteria":"targeted","Tags":[{"Key":"team","Value":"x"}]},
        {"CapacityReservationId":"cr-1","OwnerId":"2","InstanceType":"m5.large","AvailabilityZone":"us-east-1b",
         "AvailableInstanceCount":1,"State":"expired","InstanceMatchCriteria":"open"}]}"#;

    #[test]
    fn active_reservations_are_selected_by_all_that_a_term_states() {
        let all = parse("r.json", ANSWER).unwrap();
        assert_eq!(all.len(), 1);
        let of = |tags: &[(&str, &str)], owner: Option<&str>| Selection {
            tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            owner_id: owner.map(str::to_owned),
            ..Selection::default()
        };
        assert!(of(&[("team", "*")], None).selects(&all[0]));
        assert!(of(&[("team", "x")], Some("1")).selects(&all[0]));
        assert!(!of(&[("team", "x")], Some("2")).selects(&all[0]));
        assert!(!of(&[("team", "y")], None).selects(&all[0]));
        assert_eq!(parse("r.json", "{}").unwrap_err().code, Code::InCatalog);
    }
}
