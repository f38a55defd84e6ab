//! Storing equal values once.

use std::collections::HashMap;
use std::hash::Hash;

/// Gives equal values the same index.
#[derive(Clone, Debug)]
pub struct Interner<T> {
    indices: HashMap<T, u32>,
    values: Vec<T>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { indices: HashMap::new(), values: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    /// The index of `value`, new or old.
    pub fn index(&mut self, value: T) -> u32 {
        if let Some(index) = self.indices.get(&value) {
            return *index;
        }
        let index = self.values.len() as u32;
        self.values.push(value.clone());
        self.indices.insert(value, index);
        index
    }

    /// The index of `value`, where it is known.
    pub fn indexed(&self, value: &T) -> Option<u32> {
        self.indices.get(value).copied()
    }

    /// The value at `index`.
    pub fn get(&self, index: u32) -> &T {
        &self.values[index as usize]
    }

    /// Every value, by index.
    pub fn into_values(self) -> Vec<T> {
        self.values
    }
}
