//! The catalogue commands.

use super::harness::stowage;

#[test]
fn types_are_listed_shown_and_missed_with_a_hint() {
    let list = stowage(&["catalog", "list"], "").out;
    assert!(list.lines().count() > 1000, "{}", list.lines().count());
    let show = stowage(&["catalog", "show", "m5.large"], "").out;
    assert!(show.contains("karpenter.k8s.aws/instance-family=m5") && show.contains("1930m (2)"), "{show}");
    let missed = stowage(&["catalog", "show", "m5.tiny"], "");
    assert_eq!(missed.code, 65);
    assert!(missed.err.contains("m5.large"), "{}", missed.err);
}

#[test]
fn spot_prices_and_overrides_reach_the_list() {
    let prices = super::harness::TempFile::new("p.csv", "m5.large,*,spot,0.0123\n");
    let show = stowage(&["catalog", "show", "m5.large", "--capacity-types", "spot", "--prices", prices.path()], "").out;
    assert!(show.contains("$0.0123/h"), "{show}");
}
