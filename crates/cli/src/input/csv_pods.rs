//! Pod lists for people without manifests: one row per workload.

use serde_json::{Map, Value, json};
use stowage_k8s::Object;
use stowage_k8s::object::Header;
use stowage_model::Code;

use super::Input;
use crate::error::Failure;

/// Whether a text without a file name looks like such a list.
pub(super) fn looks_like(text: &str) -> bool {
    let header = text.lines().next().unwrap_or_default().to_lowercase();
    header.contains(',') && header.split(',').any(|column| column.trim() == "name") && !header.contains(": ")
}

pub(super) fn take(input: &mut Input, file: &str, text: &str) -> Result<(), Failure> {
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(false).comment(Some(b'#')).from_reader(text.as_bytes());
    let refuse = |line: u64, message: String| Failure::input(Code::InCsv, &format!("{file} line {line}"), &message);
    let header: Vec<String> = reader.headers().map_err(|e| refuse(1, e.to_string()))?.iter().map(canonical).collect();
    if !header.iter().any(|column| column == "name") {
        return Err(refuse(1, "has no column name; the first line must name the columns".to_owned()));
    }
    if let Some(twice) = header.iter().enumerate().find(|(i, column)| header[..*i].contains(column)) {
        return Err(refuse(1, format!("names column {} twice", twice.1)));
    }
    for row in reader.records() {
        let row = row.map_err(|e| refuse(e.position().map_or(0, csv::Position::line), e.to_string()))?;
        let line = row.position().map_or(0, csv::Position::line);
        let object = workload(&header, row.iter()).map_err(|message| refuse(line, message))?;
        input.objects += 1;
        let header: Header = serde_json::from_value(object.clone()).unwrap_or_default();
        let applied = match Object::parse(&header, &object.to_string()) {
            Ok(Some(object)) => input.cluster.apply(object).err(),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = applied {
            input.refuse(&format!("{file} line {line}"), error);
        }
    }
    Ok(())
}

/// Column names as users vary them.
fn canonical(column: &str) -> String {
    let lower = column.trim().to_lowercase();
    match lower.as_str() {
        "node selector" | "nodeselector" | "node_selector" | "selector" => "node-selector".to_owned(),
        "pods" | "count" => "replicas".to_owned(),
        "mem" => "memory".to_owned(),
        _ => lower,
    }
}

/// A row as a Deployment.
fn workload<'a>(header: &[String], row: impl Iterator<Item = &'a str>) -> Result<Value, String> {
    let (mut name, mut namespace, mut replicas) = ("", "default", 1_i64);
    let mut requests = Map::new();
    let mut selector = Map::new();
    for (column, cell) in header.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
        match column.as_str() {
            "name" => name = cell,
            "namespace" => namespace = cell,
            "replicas" => {
                replicas = cell
                    .parse()
                    .ok()
                    .filter(|n| (0..=1_000_000).contains(n))
                    .ok_or_else(|| format!("replicas {cell:?} is not a number between 0 and 1,000,000"))?;
            }
            "node-selector" => {
                for pair in cell.split(';') {
                    let (key, value) =
                        pair.split_once('=').ok_or_else(|| format!("node selector {pair:?} is not key=value"))?;
                    selector.insert(key.trim().to_owned(), Value::from(value.trim()));
                }
            }
            resource => {
                stowage_model::quantity::amount(resource, cell).map_err(|e| format!("{resource} {cell:?} {e}"))?;
                requests.insert(resource.to_owned(), Value::from(cell));
            }
        }
    }
    if name.is_empty() {
        return Err("has no name".to_owned());
    }
    Ok(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "stowage.sh/row": name } },
            "template": {
                "metadata": { "labels": { "stowage.sh/row": name } },
                "spec": {
                    "nodeSelector": selector,
                    "containers": [{ "name": "main", "resources": { "requests": requests } }],
                },
            },
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Input, Failure> {
        let mut input = Input::default();
        input.take("t.csv", text).map(|()| input)
    }

    #[test]
    fn rows_become_workloads() {
        let input = read("name,namespace,replicas,cpu,memory,nvidia.com/gpu,node selector\nweb,shop,3,500m,1Gi,,zone=a;x=y\nml,,1,4,16Gi,1,\n").unwrap();
        assert_eq!((input.objects, input.refused), (2, vec![]));
        assert_eq!(input.cluster.extended_resources().into_iter().collect::<Vec<_>>(), ["nvidia.com/gpu"]);
    }

    #[test]
    fn bad_rows_are_refused_by_line() {
        for (text, part) in [
            ("cpu\n1", "line 1: has no column name"),
            ("name,name\na,b", "twice"),
            ("name,cpu\na,lots", "line 2: cpu \"lots\""),
            ("name,cpu\na,-1", "negative"),
            ("name,replicas\na,-1", "replicas"),
            ("name,replicas\na,NaN", "replicas"),
            ("name,cpu\n,1", "has no name"),
            ("name,cpu\na,1,2", "line 2"),
            ("name,node-selector\na,zone", "key=value"),
        ] {
            let failure = read(text).unwrap_err();
            assert!(failure.lines[0].contains(part), "{text:?}: {:?}", failure.lines);
        }
        let twice = read("name\na\na\n").unwrap();
        assert!(twice.refused[0].contains("IN-DUPLICATE"), "{:?}", twice.refused);
    }
}
