//! NodeOverlays: corrections of what the catalogue says about price and extended
//! resources.

use std::collections::BTreeMap;

use stowage_model::{Code, InstanceType, NodePool, Offering, Price, Requirements, Resources, labels};

use super::{requests, selector};
use crate::error::FieldError;
use crate::v1;

/// A change of price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// This price.
    To(Price),
    /// Nano-dollars on top, or off.
    By(i64),
    /// Millionths of the price on top, or off.
    Share(i64),
}

/// An overlay.
#[derive(Clone, Debug)]
pub struct Overlay {
    name: String,
    weight: i32,
    requirements: Requirements,
    change: Option<Change>,
    capacity: Resources,
}

/// Lowers an overlay.
pub(crate) fn lower(overlay: &v1::NodeOverlay) -> Result<Overlay, FieldError> {
    let spec = &overlay.spec;
    let refuse = |field: &str, message: &str| Err(FieldError::new(Code::InPrice, field.to_owned(), message.to_owned()));
    let mut requirements = Requirements::new();
    for (index, r) in spec.requirements.iter().enumerate() {
        let at = format!("spec.requirements[{index}]");
        let values = r.values.clone().unwrap_or_default();
        requirements.add(labels::normalized(&r.key), selector::requirement(&r.operator, &values, &at, true)?);
    }
    let change = match (&spec.price, &spec.price_adjustment) {
        (Some(_), Some(_)) => {
            return refuse("spec.priceAdjustment", "cannot stand beside spec.price; drop one of them");
        }
        (Some(text), None) => match Price::parse(text) {
            Some(price) => Some(Change::To(price)),
            None => return refuse("spec.price", "is not a price; write dollars an hour, such as 1.25"),
        },
        (None, Some(text)) => match adjustment(text) {
            Some(change) => Some(change),
            None => return refuse("spec.priceAdjustment", "is no change; write it as +10%, -5% or +0.02"),
        },
        (None, None) => None,
    };
    let capacity = match &spec.capacity {
        Some(list) => requests::quantities(list, "spec.capacity")?,
        None => Resources::new(),
    };
    if let Some((name, _)) = capacity.iter().find(|(name, _)| !name.as_str().contains('/')) {
        let message = format!("{name} is not an extended resource; the catalogue knows it");
        return Err(FieldError::new(Code::InObject, "spec.capacity", message));
    }
    let name = overlay.metadata.name.clone().unwrap_or_default();
    Ok(Overlay { name, weight: spec.weight.unwrap_or(1), requirements, change, capacity })
}

fn adjustment(text: &str) -> Option<Change> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    match rest.strip_suffix('%') {
        // A share is read like a price: 12.5 % as 12.5 dollars in nano-dollars.
        Some(share) => Some(Change::Share(sign * Price::parse(share)?.nanos() / 100_000)),
        None => Some(Change::By(sign * Price::parse(rest)?.nanos())),
    }
}

impl Change {
    fn of(self, price: Price) -> Price {
        let nanos = price.nanos();
        let changed = match self {
            Self::To(price) => price.nanos(),
            Self::By(more) => nanos.saturating_add(more),
            Self::Share(millionths) => {
                let more = i128::from(nanos) * i128::from(millionths) / 1_000_000;
                i64::try_from(i128::from(nanos) + more).unwrap_or(nanos)
            }
        };
        Price::from_nanos(changed.max(0))
    }
}

/// Applies overlays to the types of a pool. For each offering the heaviest overlay
/// with a price counts, by name backwards among equals; resources are added, and
/// where several name the same one, the heaviest counts.
pub fn apply(overlays: &[Overlay], pool: &NodePool, types: &[InstanceType]) -> Vec<InstanceType> {
    let mut order: Vec<&Overlay> = overlays.iter().collect();
    order.sort_by(|a, b| (b.weight, &b.name).cmp(&(a.weight, &a.name)));
    types.iter().map(|instance_type| corrected(&order, pool, instance_type)).collect()
}

/// Overlays of one weight that say different things about the same: the one that is
/// passed over, with the one that counts, by name.
pub fn conflicts(
    overlays: &[Overlay],
    pools: &[NodePool],
    type_sets: &[Vec<InstanceType>],
) -> BTreeMap<String, String> {
    let mut order: Vec<&Overlay> = overlays.iter().collect();
    order.sort_by(|a, b| (b.weight, &b.name).cmp(&(a.weight, &a.name)));
    let mut found = BTreeMap::new();
    for (index, heavy) in order.iter().enumerate() {
        for light in order[index + 1..].iter().take_while(|other| other.weight == heavy.weight) {
            if !found.contains_key(&light.name) && collide(heavy, light, pools, type_sets) {
                found.insert(light.name.clone(), heavy.name.clone());
            }
        }
    }
    found
}

fn collide(a: &Overlay, b: &Overlay, pools: &[NodePool], type_sets: &[Vec<InstanceType>]) -> bool {
    let prices = a.change.is_some() && b.change.is_some();
    let resources = a.capacity.iter().any(|(name, _)| b.capacity.contains(name.as_str()));
    pools.iter().any(|pool| {
        type_sets.get(pool.type_set).into_iter().flatten().any(|kind| {
            let hits = |overlay: &Overlay, offering| overlay.is_about(pool, kind, offering);
            let any = |overlay: &Overlay| kind.offerings.iter().any(|offering| hits(overlay, offering));
            (prices && kind.offerings.iter().any(|offering| hits(a, offering) && hits(b, offering)))
                || (resources && any(a) && any(b))
        })
    })
}

impl Overlay {
    fn is_about(&self, pool: &NodePool, instance_type: &InstanceType, offering: &Offering) -> bool {
        self.requirements.admit(|key| match key {
            labels::ZONE => Some(&*offering.zone),
            labels::CAPACITY_TYPE => Some(offering.capacity_type.as_str()),
            labels::INSTANCE_TYPE => Some(&*instance_type.name),
            labels::NODEPOOL => Some(&*pool.name),
            _ => instance_type.labels.get(key).or_else(|| pool.labels.get(key)).map(String::as_str),
        })
    }
}

fn corrected(order: &[&Overlay], pool: &NodePool, instance_type: &InstanceType) -> InstanceType {
    let mut result = instance_type.clone();
    let matches = |overlay: &Overlay, offering: &Offering| overlay.is_about(pool, instance_type, offering);
    for offering in &mut result.offerings {
        if let Some(change) = order.iter().find_map(|o| o.change.filter(|_| matches(o, offering))) {
            offering.price = change.of(offering.price);
        }
    }
    // The lightest first, so that heavier ones have the last word.
    for overlay in order.iter().rev() {
        if instance_type.offerings.iter().any(|offering| matches(overlay, offering)) {
            for (name, amount) in overlay.capacity.iter() {
                result.capacity.set(name.as_str(), amount);
                result.allocatable.set(name.as_str(), amount);
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_set_and_changed() {
        let price = |nanos| Price::from_nanos(nanos);
        for (text, expected) in [("+10%", 1_100_000_000), ("-50%", 500_000_000), ("+0.5", 1_500_000_000), ("-2", 0)] {
            assert_eq!(adjustment(text).map(|change| change.of(price(1_000_000_000))), Some(price(expected)), "{text}");
        }
        assert_eq!(adjustment("10%"), None);
        assert_eq!(adjustment("+x"), None);
    }
}
