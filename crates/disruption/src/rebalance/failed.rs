//! Pods that have failed and that nobody cleans up. They hold nothing, so there is
//! nothing to place and no budget to draw on.

use stowage_model::rebalancing::{Method, Step};

use super::evictor::{self, Subject};
use super::limits::Limits;
use super::scene::Scene;
use super::{Kept, Rebalanced, Removal, Why};

pub(super) fn remove(scene: &Scene<'_>, step: &Step, limits: &mut Limits, done: &mut Rebalanced) {
    let Method::FailedPods { seconds, reasons, exit_codes, init, spared_kinds } = &step.method else { return };
    let name = step.method.name();
    for pod in &scene.fleet.failed {
        let life = &pod.life;
        let age = life.created.map(|created| u64::try_from(scene.now.saturating_sub(created)).unwrap_or(0));
        let subject = Subject {
            namespace: &pod.namespace,
            life,
            priority: pod.priority,
            budgeted: false,
            replicas: usize::MAX,
            failed: true,
            now: scene.now,
        };
        let wanted = step.scope.admits(&pod.namespace, &life.labels)
            && age.is_some_and(|age| age >= *seconds)
            && (reasons.is_empty() || life.condition.is_any_of(reasons, *init))
            && (exit_codes.is_empty() || life.condition.returned_any_of(exit_codes, *init))
            && !spared_kinds.contains(&life.kin.owner_kind)
            && !done.removals.iter().any(|known| known.namespace == pod.namespace && known.name == pod.name);
        if !wanted || !evictor::lets(&step.evictor, &subject) {
            continue;
        }
        let node = pod.node.as_deref().unwrap_or_default();
        let kept = if pod.held {
            Some(Why::Hold(stowage_model::fleet::Hold::DoNotDisrupt))
        } else {
            limits.room(node, &pod.namespace).err()
        };
        if let Some(why) = kept {
            done.kept.push(Kept { pod: format!("{}/{}", pod.namespace, pod.name), method: name, why });
            continue;
        }
        limits.count(node, &pod.namespace);
        let (namespace, own) = (pod.namespace.clone(), pod.name.clone());
        done.removals.push(Removal { namespace, name: own, method: name, profile: step.profile.clone() });
    }
}
