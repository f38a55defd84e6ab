//! YAML and JSON documents: single objects, lists, and streams of either.

use serde::Deserialize;
use serde_json::value::RawValue;
use stowage_k8s::Object;
use stowage_k8s::object::Header;
use stowage_model::Code;

use super::Input;
use crate::error::Failure;

/// How deep lists may hold lists.
const MOST_NESTING: usize = 8;

/// One or more JSON documents.
pub(super) fn json(input: &mut Input, file: &str, text: &str) -> Result<(), Failure> {
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let document = document.map_err(|e| {
            let message = format!("{e}; the JSON is cut off or malformed there");
            Failure::input(Code::InSyntax, &format!("{file} line {}", e.line()), &message)
        })?;
        take(input, file, document.get(), None, 0)?;
    }
    Ok(())
}

/// One or more YAML documents. They are told apart here, so that a large stream
/// never needs to be in memory as values at once.
pub(super) fn yaml(input: &mut Input, file: &str, text: &str) -> Result<(), Failure> {
    let mut found = false;
    for (line, document) in split(text) {
        if document.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
            continue;
        }
        found = true;
        let value: serde_json::Value = serde_saphyr::from_str_with_options(document, options()).map_err(|e| {
            let at = e.location().map_or(line, |location| line + location.line() as usize - 1);
            let message = e.to_string();
            let first = message.lines().next().unwrap_or_default().to_owned();
            Failure::input(Code::InSyntax, &format!("{file} line {at}"), &first)
        })?;
        if !value.is_null() {
            values(input, file, value)?;
        }
    }
    if found {
        return Ok(());
    }
    Err(Failure::input(Code::InEmpty, file, "holds no document; leave it out, or fill it"))
}

/// Documents with the number of their first line.
fn split(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut starts = vec![(1, 0)];
    let mut ends = Vec::new();
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let marker =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        let closing = line.trim_end() == "...";
        if marker || closing {
            ends.push(offset);
            // Content may follow the marker on its line.
            let skipped = if closing { line.len() } else { 3 };
            starts.push((index + 1, offset + skipped));
        }
        offset += line.len();
    }
    ends.push(text.len());
    starts.into_iter().zip(ends).map(|((line, start), end)| (line, text.get(start..end).unwrap_or_default()))
}

fn options() -> serde_saphyr::Options {
    let mut options = serde_saphyr::Options::default();
    if let Some(budget) = &mut options.budget {
        // A cluster's pods as one YAML list are many nodes; aliases are not.
        budget.max_events = 200_000_000;
        budget.max_nodes = 100_000_000;
        budget.max_depth = 200;
        budget.max_total_scalar_bytes = 2 << 30;
    }
    options.with_snippet = false;
    options
}

/// Hands a value's objects on one by one.
fn values(input: &mut Input, file: &str, mut value: serde_json::Value) -> Result<(), Failure> {
    let is_list = value.get("kind").and_then(|k| k.as_str()).is_some_and(|kind| kind.ends_with("List"));
    if is_list && let Some(items) = value.get_mut("items").map(serde_json::Value::take) {
        let header: Header = serde_json::from_value(value).unwrap_or_default();
        if let serde_json::Value::Array(items) = items {
            for item in items {
                take(input, file, &item.to_string(), Some(&header), 1)?;
            }
        }
        return Ok(());
    }
    take(input, file, &value.to_string(), None, 0)
}

/// A list's items, unread.
#[derive(Deserialize)]
struct Items<'a> {
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

/// Takes one JSON value: an object, a list of them, or an array.
fn take(input: &mut Input, file: &str, json: &str, list: Option<&Header>, depth: usize) -> Result<(), Failure> {
    if depth > MOST_NESTING {
        return Err(Failure::input(Code::InSyntax, file, "lists are nested too deeply; flatten them"));
    }
    let syntax = |e: &serde_json::Error| Failure::input(Code::InSyntax, file, &e.to_string());
    if json.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|e| syntax(&e))?;
        return items.into_iter().try_for_each(|item| take(input, file, item.get(), None, depth + 1));
    }
    let mut header: Header = match serde_json::from_str(json) {
        Ok(header) => header,
        Err(error) => {
            let text = error.to_string();
            let text = text.split(" at line ").next().unwrap_or_default();
            input.refuse(file, format!("{}: a document is not a Kubernetes object: {text}", Code::InObject));
            return Ok(());
        }
    };
    if header.kind.is_empty()
        && let Some(list) = list
    {
        header.kind = list.kind.strip_suffix("List").unwrap_or_default().to_owned();
        header.api_version.clone_from(&list.api_version);
    }
    if header.kind.is_empty() {
        input.refuse(file, format!("{}: an object has no kind; add apiVersion and kind", Code::InObject));
        return Ok(());
    }
    let known = Object::KINDS.iter().any(|(group, kind)| *group == header.group() && *kind == header.kind);
    if !known && header.kind.ends_with("List") {
        let items: Items<'_> = serde_json::from_str(json).map_err(|e| syntax(&e))?;
        return items.items.into_iter().try_for_each(|item| take(input, file, item.get(), Some(&header), depth + 1));
    }
    input.objects += 1;
    match Object::parse(&header, json) {
        Ok(Some(object)) => {
            if let Err(error) = input.cluster.apply(object) {
                input.refuse(file, error);
            }
        }
        Ok(None) => *input.skipped.entry(header.kind).or_default() += 1,
        Err(error) => input.refuse(file, error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Input, Failure> {
        let mut input = Input::default();
        input.take("t.yaml", text).map(|()| input)
    }

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n";

    #[test]
    fn documents_lists_and_arrays_are_objects() {
        for (text, objects) in [
            (POD.to_owned(), 1),
            (format!("---\n{POD}---\n{}", POD.replace("name: a", "name: b")), 2),
            (format!("# a comment\n---\n\n---\n{POD}...\n"), 1),
            (r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}]}"#.into(), 1),
            (r#"{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"a"}}]}"#.into(), 1),
            (r#"[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}]"#.into(), 1),
            ("apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n".into(), 1),
            (r#"{"apiVersion":"v1","kind":"List","items":[]}"#.into(), 0),
        ] {
            let input = read(&text).unwrap();
            assert_eq!((input.objects, input.refused.len()), (objects, 0), "{text} {:?}", input.refused);
        }
    }

    #[test]
    fn bad_documents_are_refused_by_place() {
        for (text, part) in [
            ("a: [1", "t.yaml line"),
            ("{\"kind\": ", "t.yaml line 1"),
            ("a: 1\n---\nb: {\n", "t.yaml line"),
            ("", "is empty"),
            ("# nothing\n", "holds no document"),
        ] {
            let failure = read(text).unwrap_err();
            assert!(failure.lines[0].contains(part), "{text:?}: {:?}", failure.lines);
        }
        for (text, part) in [
            ("just words here", "not a Kubernetes object"),
            ("a: 1", "has no kind"),
            ("kind: Pod\napiVersion: v1", "metadata.name"),
            ("kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {containers: 5}", "Pod a: spec.containers"),
            (
                "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {containers: [{name: c, resources: {requests: {cpu: -1}}}]}",
                "IN-QUANTITY: Pod default/a: spec.containers[c].resources.requests.cpu",
            ),
        ] {
            let input = read(text).unwrap();
            assert!(input.refused[0].contains(part), "{text:?}: {:?}", input.refused);
        }
    }

    #[test]
    fn a_yaml_bomb_is_refused() {
        let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
        for (from, to) in ("abcdefghij").chars().zip("bcdefghijk".chars()) {
            bomb.push_str(&format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 10].join(",")));
        }
        assert!(read(&bomb).is_err());
    }
}
