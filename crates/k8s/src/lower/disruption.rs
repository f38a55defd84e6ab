//! How a NodePool may be disrupted.

use stowage_model::fleet::{Budget, Consolidation, Policy, Share, Window};

use crate::{duration, pool, v1};

/// Lowers what a NodePool says.
pub(crate) fn policy(pool: &v1::NodePool) -> Policy {
    let disruption = pool.spec.disruption.clone().unwrap_or_default();
    let budgets = disruption.budgets.map_or_else(|| vec![Budget::default()], |all| all.iter().map(budget).collect());
    Policy {
        consolidation: match disruption.consolidation_policy.as_deref() {
            Some("WhenEmpty") => Consolidation::WhenEmpty,
            Some("Balanced") => Consolidation::Balanced,
            _ => Consolidation::WhenEmptyOrUnderutilized,
        },
        after: pool::consolidate_after(pool).map(|span| span.as_secs()),
        budgets,
        is_static: pool.spec.replicas.is_some(),
        frozen: pool::is_frozen(pool),
    }
}

fn budget(budget: &v1::node_pool::Budget) -> Budget {
    let text = budget.nodes.as_deref().unwrap_or("10%");
    let nodes = match text.strip_suffix('%') {
        Some(percent) => percent.parse().map(Share::Percent),
        None => text.parse().map(Share::Count),
    };
    let window = match (&budget.schedule, &budget.duration) {
        (None, _) => Window::Always,
        (Some(cron), Some(lasts)) => match duration::span(lasts) {
            Some(span) => Window::Cron(cron.clone(), span.as_secs()),
            None => Window::Unreadable,
        },
        (Some(_), None) => Window::Unreadable,
    };
    Budget {
        reasons: budget.reasons.as_ref().map(|all| all.iter().cloned().collect()),
        window: if nodes.is_ok() { window } else { Window::Unreadable },
        nodes: nodes.unwrap_or_default(),
    }
}
