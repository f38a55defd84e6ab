//! From API objects to model values. Each file lowers one kind of thing; all of
//! them are pure, and only they may refuse an object.

pub mod node;
pub mod node_pool;
pub mod overlay;
pub mod pod;
pub mod requests;
pub mod selector;
pub mod taints;
pub mod topology;
pub mod volumes;
pub mod workload;
