//! From float values to a certificate in integers.

use stowage_model::certificate::UNITS_PER_NANO;
use stowage_model::{Certificate, CertificateKind, Price, ResourcePrices, Unit};

use crate::knapsack::relaxation::{Data, lagrangian};
use crate::knapsack::search::{Goal, Knapsack};
use crate::packing::{Packing, most};

/// Values in floats, from one island or from all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    /// Per part of the demand, nano-dollars.
    pub(crate) of_shape: Vec<f64>,
    /// Resource prices that prove them, by the packing's dimensions.
    pub(crate) prices: Vec<Vec<f64>>,
}

/// Rounding may raise an offer's worth by a hair: values are lowered by as much
/// beforehand, and by more should the integers still object.
const MARGINS: [f64; 3] = [1e-7, 1e-5, 1e-3];
/// Most resource prices that serve existing nodes.
const MOST_FOR_BINS: usize = 256;

/// Makes the certificate and the bound it proves for `placed` pods, by the parts
/// of the demand that classes name.
pub(crate) fn certify(
    packing: &Packing,
    kernel: &mut Knapsack,
    mut values: Values,
    placed: &[u32],
    kind: CertificateKind,
    relaxed: &[String],
) -> (Certificate, Price) {
    add_prices_for_bins(packing, kernel, &mut values, placed);
    let mut last = None;
    for margin in MARGINS {
        let certificate = quantised(packing, &values, 1.0 - margin, kind, relaxed);
        // Offers that need a search are the checker's to judge.
        if kind == CertificateKind::Columns || holds(packing, &certificate, placed) {
            let bound = bound(packing, &certificate, placed);
            return (certificate, bound);
        }
        last = Some(certificate);
    }
    let mut certificate = last.unwrap_or_else(|| quantised(packing, &values, 0.0, kind, relaxed));
    certificate.values.iter_mut().for_each(|v| *v = 0);
    (certificate, Price::ZERO)
}

fn quantised(packing: &Packing, values: &Values, scale: f64, kind: CertificateKind, relaxed: &[String]) -> Certificate {
    let unit = UNITS_PER_NANO as f64 * scale;
    let round = |value: f64| -> Unit { (value.max(0.0) * unit).floor() as Unit };
    let of_shape: Vec<Unit> = values.of_shape.iter().map(|v| round(*v)).collect();
    let prices = values
        .prices
        .iter()
        .map(|prices| {
            let priced = packing.dims.iter().zip(prices).filter(|(_, price)| **price > 0.0);
            priced.map(|(name, price)| (name.clone(), round(*price) + 1)).collect::<ResourcePrices>()
        })
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    Certificate { kind, values: of_shape, prices, relaxed: relaxed.to_vec() }
}

/// Existing nodes hold pods for nothing; the bound gives that away, and the
/// closer the prices fit each node, the less.
fn add_prices_for_bins(packing: &Packing, kernel: &mut Knapsack, values: &mut Values, placed: &[u32]) {
    let of_class: Vec<f64> =
        packing.classes.iter().map(|c| values.of_shape.get(c.shape as usize).copied().unwrap_or(0.0)).collect();
    let demand: Vec<u32> = packing.classes.iter().map(|c| placed[c.shape as usize]).collect();
    let mut added = 0;
    for bin in &packing.bins {
        if added == MOST_FOR_BINS {
            break;
        }
        kernel.columns.gather(packing, &bin.capacity, bin.admits.iter(), &of_class, &demand);
        if kernel.columns.len() == 0 {
            continue;
        }
        let capacity: Vec<f64> = bin.capacity.iter().map(|w| (*w).max(0) as f64).collect();
        let most: Vec<f64> = kernel.columns.most.iter().map(|m| *m as f64).collect();
        let columns = &kernel.columns;
        let data = Data { capacity: &capacity, weight: &columns.weight, value: &columns.value, most: &most };
        let known = values.prices.iter().map(|prices| lagrangian(data, prices)).fold(f64::INFINITY, f64::min);
        let best = kernel.solve(&bin.capacity, Goal { useless: 0.0, enough: 0.0, nodes: 0 }, None).bound;
        if known > best * 1.002 {
            values.prices.push(kernel.prices().to_vec());
            added += 1;
        }
    }
}

/// λ·W + Σ u·max(0, v − λ·a) in integers, for the best of the prices.
fn worth(
    packing: &Packing,
    certificate: &Certificate,
    capacity: &[i64],
    holds: impl Fn(usize) -> bool,
    placed: &[u32],
) -> Unit {
    let members: Vec<usize> = (0..packing.classes.len()).filter(|class| holds(*class)).collect();
    certificate
        .prices
        .iter()
        .map(|prices| {
            let price: Vec<Unit> =
                packing.dims.iter().map(|name| prices.get(name.as_str()).copied().unwrap_or(0)).collect();
            let own: Unit = price.iter().zip(capacity).map(|(p, w)| p * Unit::from((*w).max(0))).sum();
            let rest: Unit = members
                .iter()
                .map(|class| {
                    let class = &packing.classes[*class];
                    let cost: Unit = price.iter().zip(&class.size).map(|(p, a)| p * Unit::from(*a)).sum();
                    let over = (certificate.values[class.shape as usize] - cost).max(0);
                    if over == 0 {
                        return 0;
                    }
                    let count = most(&class.size, capacity).min(i64::from(placed[class.shape as usize]));
                    over * Unit::from(count)
                })
                .sum();
            own + rest
        })
        .min()
        .unwrap_or(0)
}

fn holds(packing: &Packing, certificate: &Certificate, placed: &[u32]) -> bool {
    if certificate.prices.is_empty() {
        return certificate.values.iter().all(|v| *v == 0);
    }
    packing.offers.iter().all(|offer| {
        let profile = &packing.profiles[offer.profile];
        let worth = worth(packing, certificate, &offer.capacity, |class| profile.contains(class), placed);
        worth <= Unit::from(offer.price) * UNITS_PER_NANO
    })
}

fn bound(packing: &Packing, certificate: &Certificate, placed: &[u32]) -> Price {
    let total: Unit = certificate.values.iter().zip(placed).map(|(v, n)| v * Unit::from(*n)).sum();
    let free: Unit = packing
        .bins
        .iter()
        .map(|bin| worth(packing, certificate, &bin.capacity, |class| bin.admits.contains(class), placed))
        .sum();
    let nanos = (total - free).max(0) / UNITS_PER_NANO;
    Price::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}
