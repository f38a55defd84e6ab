//! Selectors and requirements.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use stowage_model::{Code, NodeTerm, Operator, Requirement, Requirements, labels};

use crate::error::FieldError;

/// One expression.
pub(crate) fn requirement(
    operator: &str,
    values: &[String],
    field: &str,
    karpenter: bool,
) -> Result<Requirement, FieldError> {
    let refuse = |message: String| FieldError::new(Code::InObject, field, message);
    let known = Operator::parse(operator)
        .filter(|op| karpenter || !matches!(op, Operator::Gte | Operator::Lte))
        .ok_or_else(|| refuse(format!("operator {operator:?} is none of In, NotIn, Exists, DoesNotExist, Gt, Lt")))?;
    Requirement::new(known, values.iter().cloned()).ok_or_else(|| {
        refuse(match known {
            Operator::In => "operator In needs a value".to_owned(),
            _ => format!("operator {operator} needs exactly one integer, not {values:?}"),
        })
    })
}

/// A term of a node selector.
pub(crate) fn term(term: &NodeSelectorTerm, field: &str) -> Result<NodeTerm, FieldError> {
    let mut requirements = Requirements::new();
    let expressions = |list: &Option<Vec<NodeSelectorRequirement>>| list.clone().unwrap_or_default();
    for (index, e) in expressions(&term.match_expressions).iter().enumerate() {
        let at = format!("{field}.matchExpressions[{index}]");
        let values = e.values.clone().unwrap_or_default();
        requirements.add(labels::normalized(&e.key), requirement(&e.operator, &values, &at, false)?);
    }
    for (index, e) in expressions(&term.match_fields).iter().enumerate() {
        let at = format!("{field}.matchFields[{index}]");
        if e.key != "metadata.name" {
            let message = format!("field {:?} cannot be matched; only metadata.name can", e.key);
            return Err(FieldError::new(Code::InObject, at, message));
        }
        let values = e.values.clone().unwrap_or_default();
        requirements.add(labels::NODE_NAME_FIELD, requirement(&e.operator, &values, &at, false)?);
    }
    Ok(NodeTerm(requirements))
}
