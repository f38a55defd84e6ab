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

/// One entry per code, made from what `explain code` says of each.
#[test]
fn reference_of_codes() {
    let names = stowage(&["explain", "code"], "").out;
    let mut page = "# Codes\n\nWhat `stowage explain code NAME` says of every code; `NP` codes say why a pod has no \
                    place, `IN` codes what is wrong with the input.\n"
        .to_owned();
    for name in names.lines().filter_map(|line| line.split_whitespace().next()) {
        let told = stowage(&["explain", "code", name], "").out;
        let mut lines = told.lines().skip(1).map(str::trim);
        let (summary, remedy) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        page.push_str(&format!("\n## {name}\n\n{summary}.\n\n{remedy}.\n"));
    }
    expect_file!["../../../docs/codes.md"].assert_eq(&page);
}
