//! What the controller must do on a real control plane.

mod chart;
mod consolidation;
mod failures;
mod growth;
mod limits;
mod manifests;
mod rebalancing;
mod statics;
mod takeover;

use serde_json::{Value, json};

use crate::Failure;
use crate::live::Live;

/// What happens.
pub type Scenario = fn(&mut Live) -> Result<(), Failure>;

/// Every scenario: its name, how the cloud behaves, what happens.
pub fn all() -> Vec<(&'static str, Value, Scenario)> {
    let quick = || json!({ "bootMillis": 500, "endMillis": 200 });
    let slow = || json!({ "bootMillis": 4000, "endMillis": 500 });
    vec![
        ("manifests are accepted and refused", quick(), manifests::manifests_are_accepted_and_refused),
        (
            "the chart installs, and its accounts are enough",
            quick(),
            chart::the_chart_installs_and_its_accounts_are_enough,
        ),
        ("scale from zero and back", quick(), growth::scale_from_zero_and_back),
        ("pods land where they were planned", quick(), growth::pods_land_where_they_were_planned),
        ("spread over three zones", quick(), growth::spread_over_three_zones),
        ("a static pool keeps its nodes", quick(), growth::a_static_pool_keeps_its_nodes),
        ("a static pool shrinks and is renewed", quick(), statics::a_static_pool_shrinks_and_is_renewed),
        ("headroom for pods that are not there yet", quick(), growth::headroom),
        ("overlays say what is wrong with them", quick(), growth::overlays_say_what_is_wrong),
        ("a snapshot replays the cluster", quick(), growth::a_snapshot_replays_the_cluster),
        ("limits are kept, and said", quick(), limits::limits_are_kept_and_said),
        ("caps on nodes and spend are kept", quick(), limits::caps_are_kept),
        ("a dry run launches nothing", quick(), limits::a_dry_run_launches_nothing),
        ("a frozen pool launches nothing", quick(), limits::a_frozen_pool_launches_nothing),
        (
            "another type where one is sold out",
            json!({ "bootMillis": 500, "endMillis": 200, "pools": [
                { "instanceType": "large", "count": 0 }, { "instanceType": "medium", "count": 1 } ] }),
            failures::another_type_where_one_is_sold_out,
        ),
        (
            "calls are throttled",
            json!({ "bootMillis": 500, "endMillis": 200, "burst": 2, "callsPerSecond": 2.0 }),
            failures::calls_are_throttled,
        ),
        (
            "a machine that never joins is given up",
            json!({ "bootMillis": 500, "endMillis": 200, "neverRegister": ["mute-"] }),
            failures::a_machine_that_never_joins,
        ),
        ("pods deleted while their node starts", slow(), failures::pods_deleted_while_their_node_starts),
        ("a deleted node is replaced", quick(), failures::a_deleted_node_is_replaced),
        ("a budget holds a drain up", quick(), failures::a_budget_holds_a_drain_up),
        ("two nodes become one", quick(), consolidation::two_nodes_become_one),
        ("many nodes become few", quick(), consolidation::many_nodes_become_few),
        ("pods share a node that came back", quick(), rebalancing::pods_share_a_node_that_came_back),
        ("drift replaces every node", quick(), consolidation::drift_replaces_every_node),
        ("a new image replaces every node", quick(), consolidation::a_new_image_replaces_every_node),
        (
            "pods move before their machine is taken away",
            json!({ "bootMillis": 3000, "endMillis": 200, "noticeMillis": 30000 }),
            failures::pods_move_before_their_machine_is_taken_away,
        ),
        ("what is protected stays", quick(), consolidation::what_is_protected_stays),
        (
            "a replacement that fails is taken back",
            json!({ "bootMillis": 500, "endMillis": 200, "neverRegister": ["mute-"] }),
            consolidation::a_replacement_that_fails_is_taken_back,
        ),
        ("a command outlives its controller", slow(), consolidation::a_command_outlives_its_controller),
        ("an instance without a claim is ended", quick(), failures::an_instance_without_a_claim),
        ("killed again and again under churn", slow(), failures::killed_under_churn),
        ("the other one takes over", quick(), failures::the_other_one_takes_over),
        ("from Karpenter and back", quick(), takeover::from_karpenter_and_back),
    ]
}

/// Checks something.
fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

/// Nothing of what was launched is left, and nothing was launched twice.
fn nothing_leaked(live: &Live) -> Result<(), Failure> {
    let ledger = live.ledger()?;
    check(ledger["launched"] == ledger["ended"] && ledger["launched"] != 0, || {
        format!("instances were leaked: {ledger}")
    })
}
