//! What is generated is committed and up to date.

use expect_test::expect_file;

use super::harness::stowage;

#[test]
fn custom_resource_definitions() {
    let ran = stowage(&["crds"], "");
    expect_file!["../../../crds/stowage.yaml"].assert_eq(&ran.out);
}

#[test]
fn table_of_codes() {
    let ran = stowage(&["explain", "code"], "");
    expect_file!["../../fixtures/codes.txt"].assert_eq(&ran.out);
}

#[test]
fn completions_and_man_page() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(stowage(&["completions", shell], "").out.contains("stowage"), "{shell}");
    }
    assert!(stowage(&["man"], "").out.contains(".TH"));
}
