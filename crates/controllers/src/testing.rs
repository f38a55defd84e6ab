//! What several tests need.

use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A point in time, in seconds.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

/// Writes `change` over an object, key by key; lists are replaced.
pub(crate) fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

/// An object as a watch would hold it.
pub(crate) fn read<T: DeserializeOwned + Default>(object: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(object).unwrap_or_default())
}
