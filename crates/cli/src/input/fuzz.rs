//! Random damage to real input: whatever comes in, the readers answer with an
//! error and never panic. Runs for `STOWAGE_FUZZ_SECONDS`, or briefly.

use std::time::{Duration, Instant};

use super::Input;

const SEEDS: [&str; 4] = [
    include_str!("../../../../examples/shop/workloads.yaml"),
    include_str!("../../../../examples/shop/pools.yaml"),
    r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"nodeSelector":{"x":"y"},
       "tolerations":[{"key":"k","operator":"Exists"}],"containers":[{"name":"c","resources":{"requests":{"cpu":"100m","memory":"1.5Gi"}}}]}}]}"#,
    "name,namespace,replicas,cpu,memory,nvidia.com/gpu,node-selector\nweb,shop,3,500m,1Gi,1,a=b;c=d\n",
];

/// Pieces that tend to hurt.
const PIECES: [&str; 24] = [
    "-1",
    "1e99",
    "NaN",
    "null",
    "{}",
    "[]",
    "\"",
    "&a *a",
    "---\n",
    "\u{0}",
    "9223372036854775808",
    "1E",
    "0x",
    "é",
    "Gt",
    "In",
    "- ",
    ": ",
    "{{",
    "!!binary",
    "~",
    "1Ki1",
    "replicas: 2000000000",
    "..",
];

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end.max(1)
    }
}

fn damaged(random: &mut Random) -> String {
    let mut text: Vec<char> = SEEDS[random.below(SEEDS.len())].chars().collect();
    for _ in 0..=random.below(6) {
        let at = random.below(text.len());
        match random.below(4) {
            0 => drop(text.drain(at..(at + random.below(30)).min(text.len()))),
            1 => drop(text.splice(at..at, PIECES[random.below(PIECES.len())].chars())),
            2 => {
                let end = (at + random.below(12)).min(text.len());
                drop(text.splice(at..end, PIECES[random.below(PIECES.len())].chars()));
            }
            _ => {
                let copy: Vec<char> = text[at..(at + random.below(60)).min(text.len())].to_vec();
                drop(text.splice(at..at, copy));
            }
        }
    }
    text.into_iter().collect()
}

#[test]
fn fuzz_readers_never_panic() {
    let seconds = std::env::var("STOWAGE_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut random = Random(0x5eed);
    let (mut read, mut refused) = (0, 0);
    while Instant::now() < until {
        let text = damaged(&mut random);
        let mut input = Input::default();
        let file = if text.starts_with("name,") { "f.csv" } else { "f.yaml" };
        match input.take(file, &text) {
            Ok(()) => read += 1,
            Err(failure) => {
                assert!(!failure.lines.is_empty(), "a refusal without a word: {text:?}");
                refused += 1;
            }
        }
        // Lowering and stating the problem must hold up as well.
        let never = |_: &str, _: &std::collections::BTreeMap<String, String>| true;
        drop(input.cluster.problem(stowage_k8s::Settings {
            expendable_below: None,
            replan: stowage_k8s::cluster::Replan::All,
            pools: input.cluster.pools().cloned().collect(),
            type_sets: vec![Vec::new()],
            promised: Vec::new(),
            default_daemons: Vec::new(),
            expand: true,
            price_of: &|_| None,
            lifted: &|_| false,
            wanted: &never,
        }));
        drop(stowage_cloud::kwok::parse("f", &text));
        drop(stowage_cloud::prices::Prices::parse("f", &text));
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused: the damage is not varied");
}
