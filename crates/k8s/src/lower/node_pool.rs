//! NodePools.

use stowage_model::{Code, NodeClassRef, NodePool, Requirement, Requirements, labels};

use super::{requests, selector, taints};
use crate::duration;
use crate::error::FieldError;
use crate::v1::{self, SelectorRequirement};

/// Lowers a NodePool.
pub(crate) fn lower(pool: &v1::NodePool) -> Result<NodePool, FieldError> {
    let template = &pool.spec.template;
    let mut requirements = requirements(&template.spec.requirements, "spec.template.spec.requirements")?;
    let own_labels = template.metadata.labels.clone().unwrap_or_default();
    for (key, value) in &own_labels {
        requirements.add(labels::normalized(key), Requirement::exactly(value));
    }
    if let Some(key) = requirements.contradiction() {
        let message = format!("requirements on {key} contradict each other, so no node can satisfy them; remove one");
        return Err(FieldError::new(Code::InPool, "spec.template.spec.requirements", message));
    }
    if let Some(weight) = pool.spec.weight.filter(|w| !(1..=100).contains(w)) {
        return Err(FieldError::new(Code::InPool, "spec.weight", format!("{weight} is not between 1 and 100")));
    }
    let limits = pool.spec.limits.as_ref().map(|limits| requests::quantities(limits, "spec.limits")).transpose()?;
    for (field, text) in [
        ("spec.template.spec.expireAfter", &template.spec.expire_after),
        ("spec.template.spec.terminationGracePeriod", &template.spec.termination_grace_period),
    ] {
        if let Some(text) = text.as_deref().filter(|text| *text != "Never" && duration::parse(text).is_none()) {
            return Err(FieldError::new(
                Code::InPool,
                field,
                format!("{text:?} is not a duration such as 720h, or Never"),
            ));
        }
    }
    let class = &template.spec.node_class_ref;
    Ok(NodePool {
        name: pool.metadata.name.clone().unwrap_or_default(),
        weight: pool.spec.weight.unwrap_or(0),
        requirements,
        labels: own_labels,
        annotations: template.metadata.annotations.clone().unwrap_or_default(),
        taints: taints::taints(template.spec.taints.as_deref().unwrap_or_default(), "spec.template.spec.taints")?,
        startup_taints: taints::taints(
            template.spec.startup_taints.as_deref().unwrap_or_default(),
            "spec.template.spec.startupTaints",
        )?,
        limits,
        node_class: NodeClassRef { group: class.group.clone(), kind: class.kind.clone(), name: class.name.clone() },
        expire_after: template.spec.expire_after.clone(),
        termination_grace_period: template.spec.termination_grace_period.clone(),
        type_set: 0,
    })
}

/// A list of requirements, all of which hold.
pub(crate) fn requirements(list: &[SelectorRequirement], field: &str) -> Result<Requirements, FieldError> {
    let mut all = Requirements::new();
    for (index, entry) in list.iter().enumerate() {
        let at = format!("{field}[{index}]");
        let values = entry.values.clone().unwrap_or_default();
        let mut requirement = selector::requirement(&entry.operator, &values, &at, true)
            .map_err(|e| FieldError { code: Code::InPool, ..e })?;
        requirement.min_values = entry.min_values.and_then(|least| u32::try_from(least).ok());
        all.add(labels::normalized(&entry.key), requirement);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(spec: &str) -> Result<NodePool, FieldError> {
        let json = format!(
            r#"{{"metadata":{{"name":"p"}},"spec":{{"template":{{"metadata":{{"labels":{{"team":"a"}}}},"spec":{{
                "nodeClassRef":{{"group":"g","kind":"k","name":"n"}},{spec}}}}}}}}}"#
        );
        lower(&serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn contradictions_and_bad_fields_are_refused() {
        for (spec, field) in [
            (r#""requirements":[{"key":"team","operator":"In","values":["b"]}]"#, "spec.template.spec.requirements"),
            (
                r#""requirements":[{"key":"x","operator":"Gt","values":["5"]},{"key":"x","operator":"Lt","values":["5"]}]"#,
                "spec.template.spec.requirements",
            ),
            (r#""requirements":[{"key":"x","operator":"Gt","values":["a"]}]"#, "spec.template.spec.requirements[0]"),
            (r#""requirements":[{"key":"x","operator":"In"}]"#, "spec.template.spec.requirements[0]"),
            (r#""requirements":[{"key":"x","operator":"Is"}]"#, "spec.template.spec.requirements[0]"),
            (r#""requirements":[],"expireAfter":"1d""#, "spec.template.spec.expireAfter"),
            (r#""requirements":[],"taints":[{"key":"a","effect":"No"}]"#, "spec.template.spec.taints[0]"),
        ] {
            assert_eq!(pool(spec).unwrap_err().field, field, "{spec}");
        }
        let lowered = pool(r#""requirements":[{"key":"team","operator":"Exists"}],"expireAfter":"Never""#).unwrap();
        assert!(lowered.requirements.get("team").is_some_and(|r| r.admits(Some("a")) && !r.admits(Some("b"))));
    }
}
