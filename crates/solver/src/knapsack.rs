//! The knapsack kernel: the most valuable filling of one node.
//!
//! max p·x subject to A·x ≤ W, 0 ≤ x ≤ u, x integer, with a handful of rows
//! (resources) and up to thousands of columns (classes). Linear programming
//! bounds come from a bounded dual simplex ([`relaxation`]); a best-first branch
//! and bound with reduced-cost fixing closes the rest ([`search`]). Floats only
//! guide: a filling is checked in integers before anybody believes in it.

pub(crate) mod relaxation;
pub(crate) mod search;

use crate::packing::Packing;

/// The columns of one knapsack. Weights are kept by row, so that the inner loops
/// run over contiguous memory.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// Class of each column.
    pub(crate) class: Vec<u32>,
    /// Weights by row, as floats.
    pub(crate) weight: Vec<Vec<f64>>,
    /// Weights by row, exactly.
    pub(crate) exact: Vec<Vec<i64>>,
    /// Value of one item.
    pub(crate) value: Vec<f64>,
    /// How many there can be.
    pub(crate) most: Vec<i64>,
}

impl Columns {
    fn clear(&mut self, rows: usize) {
        self.class.clear();
        self.value.clear();
        self.most.clear();
        self.weight.resize_with(rows, Vec::new);
        self.exact.resize_with(rows, Vec::new);
        self.weight.iter_mut().for_each(Vec::clear);
        self.exact.iter_mut().for_each(Vec::clear);
    }

    /// Gathers the classes that can add value: admitted, wanted and small enough.
    pub(crate) fn gather(
        &mut self,
        packing: &Packing,
        capacity: &[i64],
        candidates: impl Iterator<Item = usize>,
        values: &[f64],
        demand: &[u32],
    ) {
        self.clear(capacity.len());
        for class in candidates {
            if demand[class] == 0 || values[class] <= 0.0 {
                continue;
            }
            let size = &packing.classes[class].size;
            let most = crate::packing::most(size, capacity).min(i64::from(demand[class]));
            if most == 0 {
                continue;
            }
            self.class.push(class as u32);
            self.value.push(values[class]);
            self.most.push(most);
            for (row, amount) in size.iter().enumerate() {
                self.weight[row].push(*amount as f64);
                self.exact[row].push(*amount);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.class.len()
    }
}

/// A filling and what is known about better ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filling {
    /// Class and count, ascending by class.
    pub(crate) items: Vec<(u32, u32)>,
    /// Its value.
    pub(crate) value: f64,
    /// No filling is worth more.
    pub(crate) bound: f64,
}
