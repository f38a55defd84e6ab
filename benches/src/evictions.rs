//! The fewest pods that must move for a cluster to cost no more than so much.
//!
//! A relaxation: nodes are kept or given up in part, new ones are bought by the drop,
//! pods are poured, and only processor and memory count. Let node i with c pods cost p
//! and hold a, offer t cost q and hold b, all pods together ask for d. Then
//!
//!   min Σ c·(1 − k)   s.t.  Σ p·k + Σ q·y ≤ P,  Σ a·k + Σ b·y ≥ d,  0 ≤ k ≤ 1,  y ≥ 0
//!
//! and for μ ≥ 0 and resource prices ℓ ≥ 0 at which no offer holds more than it costs
//! (ℓ·b ≤ q), by duality no arrangement moves fewer pods than
//!
//!   Σ c − μ·P + μ·ℓ·d − Σ max(0, c − μ·(p − ℓ·a)).

use std::collections::BTreeMap;

use serde_json::Value;
use stowage_model::quantity;

type Room = [f64; 2];

struct Machine {
    pods: f64,
    price: f64,
    room: Room,
}

/// Directions and heights of resource prices, and steps of μ, that are tried. Any of
/// them gives a bound; more of them only make it better.
const DIRECTIONS: usize = 100;
const HEIGHTS: usize = 25;
const STEPS: usize = 400;

/// The bound for a snapshot and the types that it can be made of.
pub fn fewest(snapshot: &Value, types: &Value, most: f64) -> Option<f64> {
    let offers: BTreeMap<&str, (f64, Room)> = types
        .as_array()?
        .iter()
        .filter_map(|kind| {
            let prices = kind["offerings"].as_array()?.iter().filter_map(|offer| offer["Price"].as_f64());
            Some((kind["name"].as_str()?, (prices.fold(f64::INFINITY, f64::min), room(&kind["resources"])?)))
        })
        .collect();
    let mut machines: BTreeMap<&str, Machine> = BTreeMap::new();
    for node in of(snapshot, "Node") {
        let kind = node["metadata"]["labels"]["node.kubernetes.io/instance-type"].as_str()?;
        let (price, _) = offers.get(kind)?;
        let machine = Machine { pods: 0.0, price: *price, room: room(&node["status"]["allocatable"])? };
        machines.insert(node["metadata"]["name"].as_str()?, machine);
    }
    let mut demand = [0.0; 2];
    for pod in of(snapshot, "Pod") {
        machines.get_mut(pod["spec"]["nodeName"].as_str()?)?.pods += 1.0;
        for container in pod["spec"]["containers"].as_array()? {
            let asks = room(&container["resources"]["requests"])?;
            demand.iter_mut().zip(asks).for_each(|(sum, asks)| *sum += asks);
        }
    }
    let machines: Vec<Machine> = machines.into_values().collect();
    let offers: Vec<(f64, Room)> = offers.into_values().collect();
    let part = |at: usize, of: usize| at as f64 / of as f64;
    let tried = (0..=DIRECTIONS).flat_map(|share| (0..=HEIGHTS).map(move |height| (share, height)));
    let bounds = tried
        .map(|(share, height)| along(&machines, &offers, demand, most, part(share, DIRECTIONS), part(height, HEIGHTS)));
    Some(bounds.fold(0.0, f64::max))
}

/// The best bound with resource prices in one direction, from processor to memory, and
/// of one height, up to what offers cost.
fn along(machines: &[Machine], offers: &[(f64, Room)], demand: Room, most: f64, share: f64, height: f64) -> f64 {
    let largest = offers.iter().fold([1.0_f64; 2], |all, (_, room)| [all[0].max(room[0]), all[1].max(room[1])]);
    let direction = [(1.0 - share) / largest[0], share / largest[1]];
    let dot = |prices: Room, room: Room| prices[0] * room[0] + prices[1] * room[1];
    let scale = offers.iter().map(|(price, room)| price / dot(direction, *room)).fold(f64::INFINITY, f64::min);
    let prices = direction.map(|part| part * scale * height);
    let pods: f64 = machines.iter().map(|machine| machine.pods).sum();
    let bound = |mu: f64| {
        let lost = machines.iter().map(|m| (m.pods - mu * (m.price - dot(prices, m.room))).max(0.0));
        pods - mu * most + mu * dot(prices, demand) - lost.sum::<f64>()
    };
    // From hardly any to a thousand pods per dollar.
    (0..=STEPS).map(|step| bound(10_f64.powf(step as f64 / STEPS as f64 * 5.0 - 1.0))).fold(0.0, f64::max)
}

fn of<'a>(snapshot: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    snapshot["items"].as_array().into_iter().flatten().filter(move |item| item["kind"] == kind)
}

fn room(amounts: &Value) -> Option<Room> {
    let amount = |name: &str| quantity::millis(amounts[name].as_str().unwrap_or("0")).ok();
    Some([amount("cpu")? as f64, amount("memory")? as f64])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn half_of_two_equal_nodes_must_move_for_half_the_price() {
        let node = |name: &str| {
            json!({ "kind": "Node", "metadata": { "name": name, "labels": { "node.kubernetes.io/instance-type": "m" } },
                "status": { "allocatable": { "cpu": "4", "memory": "16Gi" } } })
        };
        let pod = |node: &str| {
            let container = json!({ "resources": { "requests": { "cpu": "500m", "memory": "1Gi" } } });
            json!({ "kind": "Pod", "spec": { "nodeName": node, "containers": [container] } })
        };
        let types =
            json!([{ "name": "m", "offerings": [{ "Price": 1.0 }], "resources": { "cpu": "4", "memory": "16Gi" } }]);
        let snapshot = json!({ "items": [node("a"), node("b"), pod("a"), pod("a"), pod("a"), pod("b"), pod("b")] });
        let least = |most: f64| fewest(&snapshot, &types, most).unwrap_or(f64::NAN);
        assert!((least(1.0) - 2.0).abs() < 0.05, "{}", least(1.0));
        assert!(least(2.0) < 0.05, "{}", least(2.0));
    }
}
