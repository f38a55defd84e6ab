//! What users are told about their objects. The same words about the same object
//! are said once in five minutes.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tokio::time::Instant;
use tracing::debug;

use crate::context::locked;

const QUIET: Duration = Duration::from_secs(300);
/// Beyond so many remembered events the oldest are forgotten.
const MOST: usize = 20_000;

/// An object's UID and a reason.
type Subject = (String, &'static str);

/// Tells users.
pub struct Events {
    recorder: Recorder,
    said: Mutex<BTreeMap<Subject, (String, Instant)>>,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying {
    /// Whether it is a warning.
    pub warning: bool,
    /// A word.
    pub reason: &'static str,
    /// What was being done.
    pub action: &'static str,
    /// A sentence.
    pub note: String,
}

impl Events {
    /// Speaks in the name of this process.
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter { controller: "stowage".to_owned(), instance: Some(identity.to_owned()) };
        Self { recorder: Recorder::new(client, reporter), said: Mutex::new(BTreeMap::new()) }
    }

    /// Tells it, unless it was told lately. An event that cannot be written is not
    /// worth failing for. Returns whether it was news.
    pub async fn tell<K>(&self, object: &K, saying: Saying) -> bool
    where
        K: Resource<DynamicType = ()>,
    {
        self.tell_of(object.object_ref(&()), saying).await
    }

    /// The same, of an object that is known by reference.
    pub async fn tell_of(&self, reference: ObjectReference, saying: Saying) -> bool {
        let key = (reference.uid.clone().unwrap_or_default(), saying.reason);
        {
            let now = Instant::now();
            let mut said = locked(&self.said);
            let known =
                said.get(&key).is_some_and(|(note, at)| *note == saying.note && now.duration_since(*at) < QUIET);
            if known {
                return false;
            }
            if said.len() > MOST {
                said.retain(|_, (_, at)| now.duration_since(*at) < QUIET);
            }
            said.insert(key, (saying.note.clone(), now));
        }
        let mut note = saying.note;
        // The API takes a kilobyte.
        if note.len() > 1000 {
            let end = (0..=1000).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
            note.truncate(end);
        }
        let event = Event {
            type_: if saying.warning { EventType::Warning } else { EventType::Normal },
            reason: saying.reason.to_owned(),
            note: Some(note),
            action: saying.action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &reference).await {
            debug!(%error, reason = event.reason, "an event was not written");
        }
        true
    }
}
