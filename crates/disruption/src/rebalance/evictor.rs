//! Which pods a profile lets go: the descheduler's DefaultEvictor, as one list.

use stowage_model::life::Life;
use stowage_model::rebalancing::Evictor;

use super::scene::Eye;

/// A pod as the rules see it.
pub(super) struct Subject<'a> {
    pub(super) namespace: &'a str,
    pub(super) life: &'a Life,
    pub(super) priority: i32,
    /// Whether a PodDisruptionBudget covers it.
    pub(super) budgeted: bool,
    /// How many pods its owner has.
    pub(super) replicas: usize,
    pub(super) failed: bool,
    pub(super) now: i64,
}

type Rule = fn(&Evictor, &Subject<'_>) -> bool;

/// What keeps a pod.
const RULES: [Rule; 10] =
    [preference, bare, priority, local_storage, volume_claims, device_claims, unbudgeted, labels, replicas, age];

/// The lowest priority of the system's own pods.
const SYSTEM: i32 = 2_000_000_000;

/// Whether the profile lets a running pod go.
pub(super) fn lets_go(eye: &Eye<'_>, pod: u32) -> bool {
    let scene = eye.scene;
    lets(
        &eye.step.evictor,
        &Subject {
            namespace: scene.namespace(pod),
            life: scene.life(pod),
            priority: scene.shape(pod).priority,
            budgeted: !scene.fleet.care[pod as usize].budgets.is_empty(),
            replicas: scene.replicas(pod),
            failed: false,
            now: scene.now,
        },
    )
}

/// Whether it lets a pod go.
pub(super) fn lets(evictor: &Evictor, subject: &Subject<'_>) -> bool {
    subject.life.kin.evict || !RULES.iter().any(|keeps| keeps(evictor, subject))
}

fn preference(evictor: &Evictor, subject: &Subject<'_>) -> bool {
    evictor.heeds_preference && subject.life.kin.prefers_to_stay
}

fn bare(evictor: &Evictor, subject: &Subject<'_>) -> bool {
    subject.life.kin.owner_kind.is_empty() && !(subject.failed && evictor.failed_bare)
}

fn priority(evictor: &Evictor, subject: &Subject<'_>) -> bool {
    let below = evictor.priority_below.unwrap_or(SYSTEM).min(SYSTEM);
    !evictor.system_critical && subject.priority >= below
}

fn local_storage(evictor: &Evictor, subject: &Subject<'_>) -> bool {
    !evictor.local_storage && subject.life.kin.local_storage
}

fn volume_claims(evictor: &Evictor, subject: &Subject<'_>) -> bool {
    evictor.spares_volume_claims && subject.life.kin.volume_claims
}

fn device_claims(evictor: &Evictor, subject: &Subject<'_>) -> bool {
    evictor.spares_device_claims && subject.life.kin.device_claims
}

fn unbudgeted(evictor: &Evictor, subject: &Subject<'_>) -> bool {
    evictor.spares_unbudgeted && !subject.budgeted
}

fn labels(evictor: &Evictor, subject: &Subject<'_>) -> bool {
    let own = &subject.life.labels;
    let elsewhere = evictor.namespace_labels.is_some() && !evictor.namespaces.contains(subject.namespace);
    elsewhere || !evictor.labels.admit(|key| own.get(key).map(String::as_str))
}

fn replicas(evictor: &Evictor, subject: &Subject<'_>) -> bool {
    subject.replicas < evictor.min_replicas
}

fn age(evictor: &Evictor, subject: &Subject<'_>) -> bool {
    let age = subject.life.started.map(|started| subject.now.saturating_sub(started));
    evictor.min_age > 0 && age.is_none_or(|age| u64::try_from(age).unwrap_or(0) < evictor.min_age)
}
