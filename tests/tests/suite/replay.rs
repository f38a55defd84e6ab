//! What a scheduler makes of a plan.

use crate::harness::stowage;

/// By scenario: pods bound, and the regret.
fn replayed(args: &[&str]) -> Vec<(String, u64, f64)> {
    let mut all = vec!["plan", "examples/shop", "-o", "json", "--no-timings", "--replay"];
    all.extend(args);
    let json = stowage(&all, "").json();
    let rows = json["replay"].as_array().unwrap().clone();
    rows.iter()
        .map(|row| {
            assert_eq!(row["unplaced"], 0, "{row}");
            (
                row["scenario"].as_str().unwrap().to_owned(),
                row["bound"].as_u64().unwrap(),
                row["regret"].as_f64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_plan_comes_true_where_pods_are_told_their_node_and_may_not_where_they_are_not() {
    let rows = replayed(&[]);
    let of = |what: &str| rows.iter().filter(|(name, _, _)| name.contains(what)).cloned().collect::<Vec<_>>();
    assert!(of("tolerated").iter().all(|(_, bound, regret)| (*bound, *regret) == (35, 0.0)), "{rows:?}");
    // Left to itself the scheduler spreads pods over the nodes, and some find no room.
    assert!(of("nodes ready").iter().any(|(_, bound, regret)| *bound < 35 && *regret > 0.0), "{rows:?}");
}

#[test]
fn a_replay_is_the_same_each_time_and_another_with_another_seed() {
    assert_eq!(replayed(&[]), replayed(&[]));
    let seeds: std::collections::BTreeSet<String> =
        (0..4).map(|seed| format!("{:?}", replayed(&["--seed", &seed.to_string()]))).collect();
    assert!(seeds.len() > 1);
}
