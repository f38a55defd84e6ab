//! Pod lists, generated from seeds or read from a trace.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// xorshift64*: the same pods on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[(self.unit() * from.len() as f64) as usize]
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

fn pod(name: String, requests: BTreeMap<&str, String>, selector: &BTreeMap<&str, &str>) -> Value {
    let devices: BTreeMap<&str, &String> =
        requests.iter().filter(|(k, _)| k.contains('/')).map(|(k, v)| (*k, v)).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "bench" },
        "spec": {
            "nodeSelector": selector,
            "containers": [{ "name": "main", "image": "example/main", "resources": { "requests": requests, "limits": devices } }],
        },
        "status": { "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable" }] },
    })
}

fn amounts(cpu: i64, memory_mib: i64) -> BTreeMap<&'static str, String> {
    BTreeMap::from([("cpu", format!("{cpu}m")), ("memory", format!("{memory_mib}Mi"))])
}

fn list(items: Vec<Value>) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

/// The generic pods of Karpenter's scheduling benchmark: five CPU by six memory
/// sizes, drawn uniformly.
pub fn generic(count: usize, seed: u64) -> Value {
    let mut random = Random::new(seed);
    let none = BTreeMap::new();
    let pods = (0..count).map(|i| {
        let cpu = random.pick(&[100, 250, 500, 1000, 1500]);
        let memory = random.pick(&[100, 256, 512, 1024, 2048, 4096]);
        pod(format!("pod-{i}"), amounts(cpu, memory), &none)
    });
    list(pods.collect())
}

/// CPU around common sizes; GiB per core log-normal with median 3.
fn size(random: &mut Random) -> (i64, i64) {
    let base = random.pick(&[50.0, 100.0, 200.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0]);
    let cpu = ((base * (0.7 + 0.7 * random.unit()) / 10.0).round() as i64 * 10).max(10);
    let ratio = (1.1 + 0.8 * random.normal()).exp().clamp(0.4, 20.0);
    let memory = ((cpu as f64 * 1.024 * ratio / 32.0).ceil() as i64 * 32).clamp(32, 120_000);
    (cpu, memory)
}

/// Shapes whose counts fall off like Zipf's law; constrained ones pin zone,
/// architecture or capacity type.
pub fn shaped(count: usize, shapes: usize, seed: u64, constrained: bool) -> Value {
    let mut random = Random::new(seed);
    type Shape = ((i64, i64), BTreeMap<&'static str, &'static str>);
    let all: Vec<Shape> = (0..shapes)
        .map(|_| {
            let size = size(&mut random);
            let mut selector = BTreeMap::new();
            if constrained {
                if random.unit() < 0.55 {
                    selector.insert("kubernetes.io/arch", random.pick(&["amd64", "amd64", "amd64", "arm64"]));
                }
                if random.unit() < 0.25 {
                    selector.insert("karpenter.sh/capacity-type", "on-demand");
                }
                if random.unit() < 0.3 {
                    selector.insert(
                        "topology.kubernetes.io/zone",
                        random.pick(&["us-east-1a", "us-east-1b", "us-east-1c"]),
                    );
                }
            }
            (size, selector)
        })
        .collect();
    let weights: Vec<f64> = (0..shapes).map(|i| 1.0 / ((i + 1) as f64).powf(0.9)).collect();
    let total: f64 = weights.iter().sum();
    let pods = (0..count).map(|i| {
        let mut at = random.unit() * total;
        let shape = weights.iter().position(|w| {
            at -= w;
            at < 0.0
        });
        let ((cpu, memory), selector) = &all[shape.unwrap_or(0)];
        pod(format!("pod-{i}"), amounts(*cpu, *memory), selector)
    });
    list(pods.collect())
}

/// Pods of which no two are alike.
pub fn distinct(count: usize, seed: u64) -> Value {
    let mut random = Random::new(seed);
    let none = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut pods = Vec::with_capacity(count);
    while pods.len() < count {
        let (cpu, memory) = size(&mut random);
        let own = (cpu + (random.unit() * 10.0) as i64, memory + (random.unit() * 32.0) as i64);
        if seen.insert(own) {
            pods.push(pod(format!("pod-{}", pods.len()), amounts(own.0, own.1), &none));
        }
    }
    list(pods)
}

/// Each takes 70 % of a two-core node.
pub fn seventy_percent() -> Value {
    let none = BTreeMap::new();
    list((0..2).map(|i| pod(format!("pod-{i}"), amounts(1330, 1024), &none)).collect())
}

/// The openb trace; a share of a GPU asks for a whole one.
pub fn openb(text: &str) -> Result<Value, String> {
    let none = BTreeMap::new();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let mut pods = Vec::new();
    for row in reader.deserialize::<BTreeMap<String, String>>() {
        let row = row.map_err(|e| e.to_string())?;
        let number = |key: &str| -> Result<i64, String> {
            row.get(key).and_then(|v| v.parse().ok()).ok_or_else(|| format!("the trace has no number {key}"))
        };
        let mut requests = amounts(number("cpu_milli")?, number("memory_mib")?);
        if number("num_gpu")? > 0 {
            requests.insert("nvidia.com/gpu", number("num_gpu")?.to_string());
        }
        pods.push(pod(row["name"].clone(), requests, &none));
    }
    Ok(list(pods))
}
